"""The YAML file that says which accounts, namespaces, workflows and jobs the emulator has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_provider_schedulerx.emulator import schedules
from airflow_provider_schedulerx.emulator.yaml_file import Place, read

DEFAULT_FILE = Path(__file__).with_name("default.yaml")

#: Where the workflows of the default file are.
DEFAULT_NAMESPACE, DEFAULT_GROUP = "4a06d5ea-f576-4326-842c-fb14ea043d8d", "demo.defaultGroup"

#: Id of the account that identities belong to unless the file says otherwise.
DEFAULT_OWNER = "1144881807903942"

#: outcome in the file -> job instance status that a node or a job ends with. A number there is the status itself.
OUTCOMES = {"success": 4, "failed": 5, "killed": 6, "rejected": 9, "partial_failed": 11, "skipped": 12}

#: What a workflow or a job is known by: its kind and its id. Their ids are counted apart.
Key = tuple[str, int]

#: Time type of a job that only calls start (API page "GetJobInfo").
API_TIME_TYPE = 100


@dataclass(frozen=True)
class Account:
    """An identity that may call.

    :ivar security_token: set for temporary (STS) credentials; the request must carry it.
    :ivar bearer_token: set for an identity without a key.
    :ivar active: False answers ``InvalidAccessKeyId.Inactive``.
    :ivar denied: RAM actions that are refused; ``*`` refuses all.
    :ivar expires: epoch seconds at which the security token expires.
    :ivar owner: id of the account that the identity belongs to; an account has one quota.
    :ivar user: name of the RAM user, for keys that belong to the same one; by default each is its own.
    """

    access_key_id: str
    access_key_secret: str = field(default="", repr=False)
    security_token: str | None = field(default=None, repr=False)
    bearer_token: str | None = field(default=None, repr=False)
    active: bool = True
    denied: tuple[str, ...] = ()
    expires: float | None = None
    owner: str = DEFAULT_OWNER
    user: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "user", self.user or self.access_key_id)


@dataclass(frozen=True)
class Node:
    """What runs: a job of a workflow, or of its own.

    :ivar duration: seconds it runs, before the emulator's speed is applied.
    :ivar outcomes: status it ends with at the first attempt, the second, ...; the last one repeats.
    :ivar after: job ids that must have succeeded first.
    :ivar group: application group, where it differs from the workflow's.
    :ivar log_lines: lines it writes while it runs, besides one at its start and one at its end.
    :ivar parameters: those of the job itself, the same in every run.
    """

    job_id: int
    name: str
    duration: float
    outcomes: tuple[int, ...]
    after: tuple[int, ...]
    group: str | None
    result: str
    log_lines: int
    parameters: str

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Node:
        return cls(**{**data, "outcomes": tuple(data["outcomes"]), "after": tuple(data["after"])})

    def outcome(self, attempt: int) -> int:
        return self.outcomes[min(attempt, len(self.outcomes) - 1)]


@dataclass(frozen=True)
class Workflow:
    """A workflow.

    :ivar time_type: ``api``, ``cron`` or ``fixed_rate``: a text, unlike that of a job instance.
    :ivar time_expression: a Quartz expression (``0 0 2 * * ?``) or seconds; see
        :mod:`airflow_provider_schedulerx.emulator.schedules`.
    :ivar data_offset: seconds from ``ScheduleTime`` to ``DataTime`` of scheduled runs; -86400 is the day before.
    :ivar preparing: seconds between the start of an instance and that of its first nodes.
    :ivar max_concurrency: how many of its instances may run at a time; what happens beyond is the profile's.
    """

    workflow_id: int
    name: str
    namespace: str
    group: str
    nodes: Mapping[int, Node]
    enabled: bool = True
    max_concurrency: int = 1
    preparing: float = 0.0
    time_type: str = "api"
    time_expression: str = ""
    data_offset: float = 0.0

    @property
    def key(self) -> Key:
        return "workflow", self.workflow_id


@dataclass(frozen=True)
class Job:
    """A job that runs by itself; the engine runs it as a workflow of one node.

    :ivar node: what runs.
    :ivar time_type: 1 cron, 3 fix_rate, 4 second_delay, 5 one_time, 100 api.
    :ivar preparing: seconds between the start of an instance and that of its work.
    :ivar max_concurrency: how many of its instances may run at a time; what happens beyond is the profile's.
    """

    node: Node
    namespace: str
    group: str
    enabled: bool = True
    max_concurrency: int = 1
    preparing: float = 0.0
    time_type: int = API_TIME_TYPE
    time_expression: str = ""

    @property
    def job_id(self) -> int:
        return self.node.job_id

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def nodes(self) -> Mapping[int, Node]:
        return {self.job_id: self.node}

    @property
    def key(self) -> Key:
        return "job", self.job_id


@dataclass(frozen=True)
class Namespace:
    """A namespace.

    :ivar uid: what calls name it by.
    :ivar name: what people do.
    """

    uid: str
    name: str
    groups: tuple[str, ...]


@dataclass(frozen=True)
class Definitions:
    """All of a file.

    :ivar namespaces: by uid.
    """

    accounts: Mapping[str, Account]
    namespaces: Mapping[str, Namespace]
    workflows: Mapping[int, Workflow]
    jobs: Mapping[int, Job] = field(default_factory=dict)


def load(path: Path) -> Definitions:
    """Read a file.

    :raises DefinitionError: naming file, line and key, if it is not as it should be.
    """
    return parse(read(path), str(path))


def parse(data: Any, file: str = "") -> Definitions:
    """Make definitions from what a YAML file holds.

    :param file: its path, for errors.
    :raises DefinitionError: naming the place.
    """
    root = Place("", data, file)
    accounts = [_account(place) for place in root.items("accounts")]
    namespaces = {}
    for place in root.items("namespaces"):
        uid = place.text("id")
        namespaces[uid] = Namespace(uid, place.get("name", str, uid), place.texts("groups"))
        place.done()
    workflows: dict[int, Workflow] = {}
    for place in root.items("workflows"):
        workflow = _workflow(place)
        if workflow.workflow_id in workflows:
            raise place.error("id", f"{workflow.workflow_id} is used twice")
        _check_groups(place, workflow, namespaces)
        workflows[workflow.workflow_id] = workflow
    jobs: dict[int, Job] = {}
    taken = {job_id for workflow in workflows.values() for job_id in workflow.nodes}
    for place in root.items("jobs"):
        job = _job(place)
        if job.job_id in jobs or job.job_id in taken:
            raise place.error("id", f"{job.job_id} is used twice")
        _check_groups(place, job, namespaces)
        jobs[job.job_id] = job
    root.done()
    return Definitions({account.access_key_id: account for account in accounts}, namespaces, workflows, jobs)


def _check_groups(place: Place, made: Workflow | Job, namespaces: Mapping[str, Namespace]) -> None:
    if made.namespace not in namespaces:
        raise place.error("namespace", f"{made.namespace!r} is not the id of one of the namespaces")
    for group in {made.group, *(node.group for node in made.nodes.values() if node.group)}:
        if group not in namespaces[made.namespace].groups:
            raise place.error("group", f"{group!r} is not in the groups of namespace {made.namespace!r}")


def parse_account(data: Any) -> Account:
    """Make an account from what the file has of one.

    :raises DefinitionError: naming the key.
    """
    return _account(Place("account", data))


def _account(place: Place) -> Account:
    account = Account(
        access_key_id=place.text("access_key_id"),
        access_key_secret=place.get("access_key_secret", str, ""),
        security_token=place.get("security_token", str, None),
        bearer_token=place.get("bearer_token", str, None),
        active=place.get("active", bool, True),
        denied=place.texts("denied"),
        expires=place.get("expires", (int, float), None),
        owner=str(place.get("owner", (str, int), DEFAULT_OWNER)),
        user=place.get("user", str, ""),
    )
    place.done()
    return account


def _workflow(place: Place) -> Workflow:
    workflow_id = place.get("id", int)
    nodes: dict[int, Node] = {}
    names: dict[str, int] = {}
    for index, node_place in enumerate(place.items("nodes")):
        node = _node(node_place, default_id=workflow_id * 100 + index + 1, names=names)
        if node.job_id in nodes:
            raise node_place.error("job_id", f"{node.job_id} is used twice")
        if node.name in names:
            raise node_place.error("name", f"{node.name!r} is used twice")
        nodes[node.job_id] = node
        names[node.name] = node.job_id
        node_place.done()
    if not nodes:
        raise place.error("nodes", "must have at least one node")
    workflow = Workflow(
        workflow_id=workflow_id,
        name=place.get("name", str, f"workflow-{workflow_id}"),
        namespace=place.text("namespace"),
        group=place.text("group"),
        nodes=nodes,
        enabled=place.get("enabled", bool, True),
        max_concurrency=place.get("max_concurrency", int, 1, at_least=1),
        preparing=place.get("preparing", (int, float), 0.0, at_least=0),
        time_type=place.get("time_type", str, "api"),
        time_expression=str(place.get("time_expression", (str, int, float), "")),
        data_offset=place.get("data_offset", (int, float), 0.0),
    )
    try:
        schedules.parse(workflow.time_type, workflow.time_expression)
    except schedules.ScheduleError as error:
        raise place.error("time_expression", f"is not valid: {error}") from None
    place.done()
    return workflow


def _node(place: Place, default_id: int, names: Mapping[str, int]) -> Node:
    befores = place.texts("after")
    for name in befores:
        if name not in names:
            raise place.error("after", f"{name!r} is not a node above this one")
    return _work(
        place,
        job_id=place.get("job_id", int, default_id),
        name=place.text("name"),
        after=tuple(names[name] for name in befores),
        group=place.get("group", str, None),
    )


def _job(place: Place) -> Job:
    job_id = place.get("id", int)
    job = Job(
        node=_work(place, job_id=job_id, name=place.get("name", str, f"job-{job_id}"), after=(), group=None),
        namespace=place.text("namespace"),
        group=place.text("group"),
        enabled=place.get("enabled", bool, True),
        max_concurrency=place.get("max_concurrency", int, 1, at_least=1),
        preparing=place.get("preparing", (int, float), 0.0, at_least=0),
        time_type=place.get("time_type", int, API_TIME_TYPE),
        time_expression=str(place.get("time_expression", (str, int, float), "")),
    )
    place.done()
    return job


def _work(place: Place, *, job_id: int, name: str, after: tuple[int, ...], group: str | None) -> Node:
    """What a node and a job have in common."""
    outcomes = place.texts("outcome", ("success",))
    if not outcomes:
        raise place.error("outcome", f"must have at least one of {', '.join(OUTCOMES)}")
    for each in outcomes:
        if each not in OUTCOMES and not each.isdecimal():
            raise place.error("outcome", f"must be of {', '.join(OUTCOMES)}, or a number, not {each!r}")
    return Node(
        job_id=job_id,
        name=name,
        duration=place.get("duration", (int, float), 1.0, at_least=0),
        outcomes=tuple(OUTCOMES[each] if each in OUTCOMES else int(each) for each in outcomes),
        after=after,
        group=group,
        result=place.get("result", str, ""),
        log_lines=place.get("log_lines", int, 0, at_least=0),
        parameters=place.get("parameters", str, ""),
    )
