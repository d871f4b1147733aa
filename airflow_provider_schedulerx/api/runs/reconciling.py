"""Did that request start a run, and which one is it?

Asked when the answer of ``ExecuteWorkflow`` was lost, or the process that waited for it. What is known is
the :class:`~airflow_provider_schedulerx.api.runs.intents.StartIntent` that was written before. Without network or
clock of its own, as :mod:`.stopping`: :func:`reconcile_recipe` says what to do next.

Nothing is guessed. What the service does not document (how soon and how long it lists a run, whether it lists
waiting ones, whether ``GetJobInstance`` shows the parameters of the run or those of the job) is either seen
in its answers or ends in doubt, which a person has to resolve.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Generator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from airflow_provider_schedulerx.api.connection.settings import Scope
from airflow_provider_schedulerx.api.exceptions import SchedulerXError
from airflow_provider_schedulerx.api.models import WorkflowInstanceStatus, WorkflowInstanceSummary
from airflow_provider_schedulerx.api.runs.intents import StartIntent, parameters_digest
from airflow_provider_schedulerx.api.runs.tracking import is_passing
from airflow_provider_schedulerx.api.wire import calls
from airflow_provider_schedulerx.api.wire.calls import Call

#: New runs that are looked at; more of them are doubt.
MAX_CANDIDATES = 100
#: Seconds between looks at the list.
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.5, 5.0
#: A list of at least this many runs may leave older ones out.
_LONG_LIST = 100


class Likeness(Enum):
    """Whether a run is the one that is looked for."""

    OURS = "its parameters are ours"
    OTHER = "its parameters are others"
    #: Nothing can be seen yet, but may be later: it waits, or the call failed.
    NOT_YET = "its parameters cannot be seen yet"
    HIDDEN = "its parameters cannot be seen"


@dataclass
class Candidate:
    """A run that was not there before the start.

    :ivar trigger_type: the service's code, whose meaning is not documented: it is told, and decides nothing.
    """

    wf_instance_id: int
    status: WorkflowInstanceStatus
    likeness: Likeness = Likeness.NOT_YET
    trigger_type: int | None = None
    why: str = ""

    def __str__(self) -> str:
        trigger = "" if self.trigger_type is None else f", trigger type {self.trigger_type}"
        return f"{self.wf_instance_id} ({self.status.name}{trigger}; {self.why or self.likeness.value})"


@dataclass(frozen=True, slots=True)
class Reconciled:
    """Exactly one of: a run that is ours; a doubt; neither, which means that nothing was started."""

    wf_instance_id: int | None = None
    doubt: str | None = None


@dataclass
class _Seen:
    """Parameters that ``GetJobInstance`` has shown, by job and run."""

    by_job: dict[int, dict[int, str]] = field(default_factory=lambda: defaultdict(dict))

    @property
    def differ_between_runs(self) -> bool:
        """Whether they are surely those of the run, and not those of the job's definition."""
        return any(len(set(by_run.values())) > 1 for by_run in self.by_job.values())


#: Yields a call to carry out (its result is sent back, or its SchedulerXError thrown in) or seconds to sleep.
ReconcileRecipe = Generator[Call[Any] | float, Any, Reconciled]


def reconcile_recipe(
    scope: Scope, intent: StartIntent, *, settling_time: float, patience: float, log: Any
) -> ReconcileRecipe:
    """Find the run of an intent.

    :param settling_time: seconds after which a run that was started is surely listed; none then means none.
    :param patience: seconds to wait, beyond that, for parameters that will show when a waiting run begins,
        and for the end of faults.
    :param log: a logger.
    """
    if intent.known is None:
        return Reconciled(doubt="the runs of the workflow could not be listed before the start")
    search = _Search(scope, intent)
    began = time.monotonic()
    pause = min(max(settling_time / 10, _SHORTEST_PAUSE), _LONGEST_PAUSE)
    while True:
        elapsed = time.monotonic() - began
        try:
            yield from search.look()
        except SchedulerXError as error:
            if not is_passing(error) or elapsed >= settling_time + patience:
                return Reconciled(doubt=f"the runs of the workflow cannot be listed: {error}")
            log.warning("Looking for the run that may have been started: %s", error)
        else:
            certain = search.marked()
            if certain is not None:
                return Reconciled(certain.wf_instance_id)
            if elapsed >= settling_time:
                decided = yield from search.decide(may_wait=elapsed < settling_time + patience)
                if decided is not None:
                    return decided
        left = settling_time - elapsed
        yield min(pause, left) if left > 0 else pause


class _Search:
    def __init__(self, scope: Scope, intent: StartIntent) -> None:
        self._scope = scope
        self._intent = intent
        self._known = frozenset(intent.known or ())
        self._candidates: dict[int, Candidate] = {}
        self._seen = _Seen()
        self._reaches_back = True
        self._has_looked_at_known = False
        self._active = 0
        self._shows_waiting = False

    def look(self) -> Generator[Call[Any], Any, None]:
        """List once, and look at what is new."""
        listed: list[WorkflowInstanceSummary] = yield calls.list_workflow_instances(
            self._scope, self._intent.workflow_id
        )
        new = [run for run in listed if run.wf_instance_id not in self._known]
        reaches_back = len(new) < len(listed) or (not self._known and len(listed) < _LONG_LIST)
        self._reaches_back = reaches_back and len(new) <= MAX_CANDIDATES
        self._active = sum(not run.status.is_terminal for run in listed)
        self._shows_waiting |= any(run.status is WorkflowInstanceStatus.WAITING for run in listed)
        for run in new[:MAX_CANDIDATES]:
            candidate = self._candidates.setdefault(
                run.wf_instance_id, Candidate(run.wf_instance_id, run.status)
            )
            candidate.status = run.status
            if candidate.likeness is Likeness.NOT_YET:
                yield from self._see(candidate)

    def _see(self, candidate: Candidate) -> Generator[Call[Any], Any, None]:
        try:
            text = yield from self._parameters_of(candidate.wf_instance_id, candidate)
        except SchedulerXError as error:
            candidate.likeness = Likeness.NOT_YET if is_passing(error) else Likeness.HIDDEN
            candidate.why = f"its parameters cannot be seen: {error}"
            return
        if text is None:
            candidate.likeness = Likeness.HIDDEN if candidate.status.is_terminal else Likeness.NOT_YET
            candidate.why = ""
            return
        marker = self._intent.marker
        ours = marker in text if marker else parameters_digest(text) == self._intent.parameters
        candidate.likeness, candidate.why = (Likeness.OURS if ours else Likeness.OTHER), ""

    def _parameters_of(
        self, wf_instance_id: int, candidate: Candidate | None = None
    ) -> Generator[Call[Any], Any, str | None]:
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
            self._seen.by_job[node.job_id][wf_instance_id] = text
            return text
        if refusal is not None:
            raise refusal
        return None

    def marked(self) -> Candidate | None:
        """The run that carries our marker, which no other can."""
        if not self._intent.marker:
            return None
        return next((run for run in self._candidates.values() if run.likeness is Likeness.OURS), None)

    def decide(self, may_wait: bool) -> Generator[Call[Any], Any, Reconciled | None]:
        """:return: None if it is worth waiting."""
        runs = list(self._candidates.values())
        ours = [run for run in runs if run.likeness is Likeness.OURS]
        is_distinct = self._intent.parameters != parameters_digest(None)
        if len(ours) == 1 and is_distinct:
            # Even if others cannot be seen: these parameters are not there by chance.
            return Reconciled(ours[0].wf_instance_id)
        if len(ours) > 1:
            return self._doubt("several new runs have the parameters of this one", ours)
        if may_wait and any(run.likeness is Likeness.NOT_YET for run in runs):
            return None
        unseen = [run for run in runs if run.likeness in (Likeness.NOT_YET, Likeness.HIDDEN)]
        if unseen:
            return self._doubt("new runs cannot be told from the one that may have been started", unseen)
        if ours:
            return Reconciled(ours[0].wf_instance_id)
        if not self._reaches_back:
            return self._doubt("the list of runs no longer reaches back to before the start", runs[:10])
        others = [run for run in runs if run.likeness is Likeness.OTHER]
        if others:
            yield from self._look_at_known()
            if not self._seen.differ_between_runs:
                return self._doubt(
                    "new runs show other parameters, but GetJobInstance shows the same ones for every run, so they "
                    "may be those of the job rather than those of the run",
                    others,
                )
        if (yield from self._may_hide_a_waiting_run()):
            if may_wait:
                return None
            return self._doubt(
                "the workflow runs as often at once as it may, and whether the list shows a waiting run is not known",
                runs,
            )
        return Reconciled()

    def _may_hide_a_waiting_run(self) -> Generator[Call[Any], Any, bool]:
        """Whether ours may wait for its turn, unlisted: where there is room for it, it would run."""
        if self._shows_waiting or not self._active:
            return False
        try:
            workflow = yield calls.get_workflow(self._scope, self._intent.workflow_id)
        except SchedulerXError:
            return True
        return self._active >= (workflow.max_concurrency or 1)

    def _look_at_known(self) -> Generator[Call[Any], Any, None]:
        """See whether an earlier run shows other parameters: then they are surely those of the run."""
        if self._has_looked_at_known:
            return
        self._has_looked_at_known = True
        for wf_instance_id in (self._intent.known or ())[:3]:
            if self._seen.differ_between_runs:
                return
            try:
                yield from self._parameters_of(wf_instance_id)
            except SchedulerXError:
                continue

    def _doubt(self, why: str, runs: list[Candidate]) -> Reconciled:
        listed = "; ".join(map(str, runs)) or "none"
        return Reconciled(doubt=f"{why}. New workflow instances: {listed}")
