"""Reconciles a lost start: finds out whether the request started a run, and which one it is.

Used when the answer of ``ExecuteWorkflow`` was lost, or the process that waited for it. What is known is the
:class:`~airflow_provider_schedulerx.api.runs.intents.StartIntent` that was written before.

Nothing is guessed. What the service does not document (how soon and how long it lists a run, how many it lists, whether
it lists waiting ones, whether ``GetJobInstance`` shows the parameters of the run or those of the job) is either seen in
its answers or ends in ambiguity, which time or a person has to resolve.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from airflow_provider_schedulerx.api.connection.settings import Scope
from airflow_provider_schedulerx.api.exceptions import SchedulerXError
from airflow_provider_schedulerx.api.models import WorkflowInstanceStatus, WorkflowInstanceSummary
from airflow_provider_schedulerx.api.runs.intents import StartIntent, has_parameters, parameters_digest
from airflow_provider_schedulerx.api.runs.recipes import Batch, Pause, Recipe
from airflow_provider_schedulerx.api.runs.tracking import is_passing
from airflow_provider_schedulerx.api.wire import calls

#: New runs whose parameters are looked up; more of them are ambiguous.
MAX_CANDIDATES = 100
#: Older runs whose parameters are looked up, to see whether one carries the same.
_MAX_TWINS = 20
#: Seconds between two lists.
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.5, 5.0
#: A list of at least this many runs may leave older ones out (a sibling operation lists 10).
_SHORTEST_LIMIT = 10
#: Seconds by which a difference of the service's times may be wrong: they are whole seconds.
_ROUNDING = 2.0


class Match(Enum):
    """Whether a run is the one that is looked for."""

    OURS = "its parameters are the same"
    OTHER = "its parameters differ"
    #: Nothing can be seen yet, but may be later: it waits, or the call failed.
    NOT_YET = "its parameters cannot be seen yet"
    HIDDEN = "its parameters cannot be seen"


@dataclass
class Candidate:
    """A run that may have been started by the request.

    :ivar trigger_type: the service's code, whose meaning for a node of a workflow is not documented: it is shown, and
        decides nothing.
    """

    wf_instance_id: int
    status: WorkflowInstanceStatus
    match: Match = Match.NOT_YET
    trigger_type: int | None = None
    why: str = ""

    def __str__(self) -> str:
        trigger = "" if self.trigger_type is None else f", trigger type {self.trigger_type}"
        return f"{self.wf_instance_id} ({self.status.name}{trigger}; {self.why or self.match.value})"


@dataclass(frozen=True, slots=True)
class Reconciled:
    """A run that is ours, or an ambiguity, or neither: then nothing was started.

    :ivar ambiguity: why nobody can tell, with the candidates.
    :ivar may_resolve: whether a later reconciliation may succeed where this one did not.
    """

    wf_instance_id: int | None = None
    ambiguity: str | None = None
    may_resolve: bool = False

    @property
    def outcome(self) -> str:
        """``found``, ``not_started`` or ``ambiguous``."""
        if self.ambiguity is not None:
            return "ambiguous"
        return "not_started" if self.wf_instance_id is None else "found"


@dataclass(frozen=True, slots=True)
class Age:
    """How long ago the request may have left, in seconds, at the begin of a reconciliation.

    :ivar at_least: the service has had this time to list the run.
    :ivar at_most: no run of the request is older; None if unknown. It counts only where nobody has listed the runs
        before the request, since it is measured by the clocks of several machines.
    """

    at_least: float = 0.0
    at_most: float | None = None


def reconcile_recipe(
    scope: Scope,
    intent: StartIntent,
    *,
    settling_time: float,
    patience: float,
    log: Any,
    age: Age | None = None,
    may_be_several: bool = False,
) -> Recipe[Reconciled]:
    """Find the run of an intent.

    :param settling_time: seconds after which a run that was started is listed; none then means none.
    :param patience: seconds to wait, beyond that, for parameters that will show when a waiting run begins,
        and for the end of faults.
    :param log: a logger.
    :param age: of the request; by default it has just been made.
    :param may_be_several: whether earlier tries may have started several runs with the marker of the intent, one
        after the other. Then the newest is looked for.
    """
    if intent.known is None and not intent.marker:
        return Reconciled(ambiguity="the runs of the workflow could not be listed before the start")
    age = age or Age()
    search = _Search(scope, intent)
    settling = max(0.0, settling_time - age.at_least)
    pause = min(max(settling_time / 10, _SHORTEST_PAUSE), _LONGEST_PAUSE)
    began = now = yield Pause(0)
    while True:
        elapsed = now - began
        try:
            yield from search.poll(None if age.at_most is None else age.at_most + elapsed)
        except SchedulerXError as error:
            if not is_passing(error) or elapsed >= settling + patience:
                return Reconciled(
                    ambiguity=f"the runs of the workflow cannot be listed: {error}",
                    may_resolve=is_passing(error),
                )
            log.warning("Looking for the run that may have been started: %s", error)
        else:
            marked = search.newest_marked()
            # A failed one may have been followed by another, which is not listed yet.
            if marked and (elapsed >= settling or not may_be_several or not _may_have_failed(marked)):
                return Reconciled(marked.wf_instance_id)
            if elapsed >= settling:
                decided = yield from search.decide(may_wait=elapsed < settling + patience)
                if decided is not None:
                    return decided
        left = settling - elapsed
        now = yield Pause(min(pause, max(left, _SHORTEST_PAUSE)) if left > 0 else pause)


def suspects_recipe(scope: Scope, intent: StartIntent, age: Age) -> Recipe[list[Candidate]]:
    """Find the active runs that may have been started by a request of which only the parameters and the age are known.

    :return: all that are not certain to be older, or to have other parameters. Faults are raised.
    """
    search = _Search(scope, intent)
    yield from search.poll(age.at_most)
    return (yield from search.suspects())


def _may_have_failed(candidate: Candidate) -> bool:
    return not candidate.status.is_active and candidate.status is not WorkflowInstanceStatus.SUCCESS


@dataclass
class _Shown:
    """Parameters that ``GetJobInstance`` has shown, by job and run."""

    by_job: dict[int, dict[int, str]] = field(default_factory=lambda: defaultdict(dict))

    @property
    def differ_between_runs(self) -> bool:
        """Whether they are those of the run for certain, and not those of the job's definition."""
        return any(len(set(by_run.values())) > 1 for by_run in self.by_job.values())


class _Search:
    def __init__(self, scope: Scope, intent: StartIntent) -> None:
        self._scope = scope
        self._intent = intent
        self._candidates: dict[int, Candidate] = {}
        self._shown = _Shown()
        self._older: list[int] = []
        self._older_shown: dict[int, str | None] = {}
        self._reaches_back = True
        self._active = 0
        self._shows_waiting = False

    def poll(self, age: float | None) -> Recipe[None]:
        """List once, and look up the parameters of what is new.

        :param age: seconds, at most, since the request.
        """
        listed: list[WorkflowInstanceSummary] = yield calls.list_workflow_instances(
            self._scope, self._intent.workflow_id
        )
        older_by_time: set[int] = set()
        if age is not None and not self._intent.known:
            older_by_time = _older_by_time(listed, age + _ROUNDING)
        older: list[WorkflowInstanceSummary] = []
        new: list[WorkflowInstanceSummary] = []
        for run in listed:
            is_older = run.wf_instance_id in older_by_time or self._intent.is_older(run.wf_instance_id)
            (older if is_older else new).append(run)
        self._older = sorted(
            {*(run.wf_instance_id for run in older), *(self._intent.known or ())}, reverse=True
        )
        is_whole = not self._intent.known and len(listed) < _SHORTEST_LIMIT
        self._reaches_back = (bool(older) or is_whole) and len(new) <= MAX_CANDIDATES
        self._active = sum(not run.status.is_terminal for run in listed)
        self._shows_waiting |= any(run.status is WorkflowInstanceStatus.WAITING for run in listed)
        for run in new[:MAX_CANDIDATES]:
            candidate = self._candidates.setdefault(
                run.wf_instance_id, Candidate(run.wf_instance_id, run.status)
            )
            candidate.status = run.status
            if candidate.match is Match.NOT_YET:
                yield from self._compare(candidate)

    def _compare(self, candidate: Candidate) -> Recipe[None]:
        try:
            text = yield from self._parameters_of(candidate.wf_instance_id, candidate)
        except SchedulerXError as error:
            candidate.match = Match.NOT_YET if is_passing(error) else Match.HIDDEN
            candidate.why = f"its parameters cannot be seen: {error}"
            return
        if text is None:
            candidate.match = Match.HIDDEN if candidate.status.is_terminal else Match.NOT_YET
            candidate.why = ""
            return
        candidate.match, candidate.why = (Match.OURS if self._is_ours(text) else Match.OTHER), ""

    def _is_ours(self, text: str) -> bool:
        marker = self._intent.marker
        return marker in text if marker else has_parameters(text, self._intent.parameters)

    def _parameters_of(self, wf_instance_id: int, candidate: Candidate | None = None) -> Recipe[str | None]:
        """The parameters of a run, as one of its job instances shows them; None if it has none yet."""
        run = yield calls.get_workflow_instance(self._scope, self._intent.workflow_id, wf_instance_id)
        refusal: SchedulerXError | None = None
        for node in run.nodes:
            if node.job_instance_id is None:
                continue
            try:
                job = yield calls.get_job_instance(self._scope, node.job_id, node.job_instance_id)
            except SchedulerXError as error:
                if is_passing(error):
                    raise
                refusal = error  # a node of another group, say
                continue
            if candidate is not None:
                candidate.trigger_type = job.trigger_type
            text = str(job.parameters or "")
            self._shown.by_job[node.job_id][wf_instance_id] = text
            return text
        if refusal is not None:
            raise refusal
        return None

    def newest_marked(self) -> Candidate | None:
        """The newest run that carries our marker, which no other task's can."""
        if not self._intent.marker:
            return None
        ours = [run for run in self._candidates.values() if run.match is Match.OURS]
        return max(ours, key=lambda run: run.wf_instance_id, default=None)

    def decide(self, may_wait: bool) -> Recipe[Reconciled | None]:
        """:return: None if it is worth waiting."""
        runs = list(self._candidates.values())
        ours = [run for run in runs if run.match is Match.OURS]
        has_parameters_of_its_own = self._intent.parameters != parameters_digest(None)
        if len(ours) > 1:
            return _ambiguous("several new runs have the parameters of this one", ours)
        if ours and has_parameters_of_its_own:
            # Even if others cannot be seen: these parameters are not there by chance, unless they are always.
            twin = yield from self._older_twin()
            if twin is None and not self._intent.marker and not self._has_seen_an_older():
                return _ambiguous(
                    "a new run has the parameters of this one, but those of the runs before it cannot be seen, so they may "
                    "always be the same",
                    ours,
                )
            if twin is None:
                return Reconciled(ours[0].wf_instance_id)
            return _ambiguous(
                f"a new run has the parameters of this one, but so has workflow instance {twin} from before the start, so "
                "something else may have started it",
                ours,
            )
        not_yet = [run for run in runs if run.match is Match.NOT_YET]
        if may_wait and not_yet:
            return None
        if ours:
            return _ambiguous(
                "the start had no parameters by which its run could be distinguished from others", ours
            )
        unseen = [run for run in runs if run.match in (Match.NOT_YET, Match.HIDDEN)]
        if unseen:
            return _ambiguous(
                "new runs cannot be distinguished from the one that may have been started",
                unseen,
                may_resolve=bool(not_yet),
            )
        if not self._reaches_back:
            return _ambiguous("the list of runs may not reach back to before the start", runs[:10])
        if runs:
            yield from self._look_for_a_difference()
            if not self._shown.differ_between_runs:
                return _ambiguous(
                    "new runs show other parameters, but GetJobInstance shows the same ones for every run, so they "
                    "may be those of the job rather than those of the run",
                    runs,
                )
        if (yield from self._may_hide_a_waiting_run()):
            if may_wait:
                return None
            return _ambiguous(
                "the workflow is at its maximum concurrency, and whether the list shows a waiting run is not known",
                runs,
                may_resolve=True,
            )
        return Reconciled()

    def suspects(self) -> Recipe[list[Candidate]]:
        """The active candidates that may be ours."""
        active = [run for run in self._candidates.values() if not run.status.is_terminal]
        if active:
            yield from self._look_for_a_difference()
        differ = self._shown.differ_between_runs
        return [run for run in active if not (differ and run.match is Match.OTHER)]

    def _may_hide_a_waiting_run(self) -> Recipe[bool]:
        """Whether ours may wait for its turn, unlisted: where there is room for it, it would run."""
        if self._shows_waiting or not self._active:
            return False
        try:
            workflow = yield calls.get_workflow(self._scope, self._intent.workflow_id)
        except SchedulerXError:
            return True
        return bool(self._active >= (workflow.max_concurrency or 1))

    def _older_twin(self) -> Recipe[int | None]:
        """An older run that carries the same parameters and is not the task's own, among the newest of them."""
        others = [run for run in self._older if run not in self._intent.earlier][:_MAX_TWINS]
        yield from self._look_up_together([run for run in others if run not in self._older_shown])
        for wf_instance_id in others:
            text = yield from self._parameters_of_older(wf_instance_id)
            if text is not None and self._is_ours(text):
                return wf_instance_id
        return None

    def _has_seen_an_older(self) -> bool:
        """Whether older runs, if there are any, show what their parameters are."""
        others = [run for run in self._older if run not in self._intent.earlier]
        return not others or any(text is not None for text in self._older_shown.values())

    def _look_up_together(self, runs: list[int]) -> Recipe[None]:
        """Look up the parameters of older runs side by side; what fails so is left to be looked up by itself."""
        workflow_id = self._intent.workflow_id
        instances = yield Batch(
            tuple(calls.get_workflow_instance(self._scope, workflow_id, run) for run in runs)
        )
        first: dict[int, tuple[int, int]] = {}
        for run, instance in zip(runs, instances, strict=True):
            nodes = () if isinstance(instance, SchedulerXError) else instance.nodes
            for node in nodes:
                if node.job_instance_id is not None:
                    first.setdefault(run, (node.job_id, node.job_instance_id))
        jobs = yield Batch(tuple(calls.get_job_instance(self._scope, *node) for node in first.values()))
        for (run, (job_id, _)), job in zip(first.items(), jobs, strict=True):
            if not isinstance(job, SchedulerXError):
                text = str(job.parameters or "")
                self._shown.by_job[job_id][run] = self._older_shown[run] = text

    def _look_for_a_difference(self) -> Recipe[None]:
        """See whether an older run shows other parameters: then they are those of the run for certain."""
        for wf_instance_id in self._older[:3]:
            if self._shown.differ_between_runs:
                return
            yield from self._parameters_of_older(wf_instance_id)

    def _parameters_of_older(self, wf_instance_id: int) -> Recipe[str | None]:
        if wf_instance_id not in self._older_shown:
            try:
                self._older_shown[wf_instance_id] = yield from self._parameters_of(wf_instance_id)
            except SchedulerXError:
                self._older_shown[wf_instance_id] = None
        return self._older_shown[wf_instance_id]


def _older_by_time(listed: list[WorkflowInstanceSummary], age: float) -> set[int]:
    """The runs that began before a request of that age, by the service's own times alone.

    Their zone is not documented, so they are not held against our clock. But a run that began longer before the
    newest time in the list than the request is old, began before the request.
    """
    begins = {run.wf_instance_id: begin for run in listed if (begin := _instant(run.start_time))}
    ends = [end for run in listed if run.status.is_terminal and (end := _instant(run.end_time))]
    newest = max([*begins.values(), *ends], default=datetime.min)
    return {run for run, begin in begins.items() if (newest - begin).total_seconds() > age}


def _instant(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text or "").replace(tzinfo=None)
    except ValueError:
        return None


def _ambiguous(why: str, runs: list[Candidate], may_resolve: bool = False) -> Reconciled:
    listed = "; ".join(map(str, runs)) or "none"
    return Reconciled(ambiguity=f"{why}. New workflow instances: {listed}", may_resolve=may_resolve)
