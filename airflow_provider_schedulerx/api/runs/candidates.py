"""The runs that a lost start may have started, and what the service shows of them: seen, not yet judged."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING

from airflow_provider_schedulerx.api.connection.settings import Scope
from airflow_provider_schedulerx.api.exceptions import SchedulerXError
from airflow_provider_schedulerx.api.models import TriggerType
from airflow_provider_schedulerx.api.runs.clocks import shortest_seconds
from airflow_provider_schedulerx.api.runs.intents import StartIntent, comparable, has_parameters
from airflow_provider_schedulerx.api.runs.recipes import Recipe, side_by_side
from airflow_provider_schedulerx.api.runs.tracking import is_passing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_schedulerx.api.runs.kinds import RunKind, RunStatus, RunSummary, ShownParameters

#: New runs whose parameters are looked up; more of them are ambiguous.
MAX_CANDIDATES = 100
#: Older runs whose parameters are looked up, to see whether one carries the same.
_MAX_TWINS = 20
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

    instance_id: int
    status: RunStatus
    match: Match = Match.NOT_YET
    trigger_type: TriggerType | None = None
    why: str = ""

    def __str__(self) -> str:
        trigger = "" if self.trigger_type is None else f", trigger type {self.trigger_type}"
        return f"{self.instance_id} ({self.status.name}{trigger}; {self.why or self.match.value})"

    @property
    def may_have_failed(self) -> bool:
        """Whether it is over and not good, or has a status that nobody knows."""
        return not self.status.is_active and not self.status.is_success


@dataclass
class _Shown:
    """Parameters that the service has shown, by where it shows them and by run.

    :ivar by_source: their digests. Of those that are not whole there is none, since another form is no other value, and of
        empty ones neither, since they may just not be shown.
    """

    by_source: dict[int, dict[int, str]] = field(default_factory=lambda: defaultdict(dict))

    def take(self, instance_id: int, shown: ShownParameters) -> bool:
        """Take in what is shown of a run.

        :return: whether it can be compared.
        """
        digest = comparable(shown.text)
        if digest is not None and shown.text:
            self.by_source[shown.source][instance_id] = digest
        return digest is not None

    @property
    def differ_between_runs(self) -> bool:
        """Whether they are those of the run for certain, and not those of the job's definition."""
        return any(len(set(by_run.values())) > 1 for by_run in self.by_source.values())


class Candidates:
    """The runs of a definition around a start, as they are listed and looked up.

    :param intent: what was written down before the start.
    :ivar reaches_back: whether the last list shows all runs since the start.
    """

    def __init__(self, kind: RunKind, scope: Scope, intent: StartIntent) -> None:
        self._kind = kind
        self._scope = scope
        self._intent = intent
        self._new: dict[int, Candidate] = {}
        self._older: list[int] = []
        self._shown = _Shown()
        self._older_shown: dict[int, str | None] = {}
        self._active = 0
        self._shows_waiting = False
        self.reaches_back: bool = True

    # What is new.

    @property
    def new(self) -> list[Candidate]:
        """The runs that are not certain to have been there before the start."""
        return list(self._new.values())

    def matching(self, *matches: Match) -> list[Candidate]:
        """Those of :attr:`new` that have been compared with such a result."""
        return [run for run in self._new.values() if run.match in matches]

    @property
    def newest_marked(self) -> Candidate | None:
        """The newest run that carries our marker, which no other task's can."""
        if not self._intent.marker:
            return None
        return max(self.matching(Match.OURS), key=lambda run: run.instance_id, default=None)

    def poll(self, age: float | None) -> Recipe[None]:
        """List once, and look up the parameters of what is new.

        :param age: seconds, at most, since the request; None if unknown. It counts only where nobody has listed the
            runs before the request.
        """

        def reaches(runs: Sequence[RunSummary], is_whole: bool) -> bool:
            return bool(self._older_of(runs, age)) or (is_whole and not self._intent.known)

        found = yield from self._kind.list_since(self._scope, self._intent.definition_id, reaches)
        listed = found.runs
        older = self._older_of(listed, age)
        new = [run for run in listed if run.instance_id not in older]
        self._older = sorted({*older, *(self._intent.known or ())}, reverse=True)
        self.reaches_back = found.reaches_back and len(new) <= MAX_CANDIDATES
        self._active = sum(not run.status.is_terminal for run in listed)
        self._shows_waiting |= any(run.status.is_waiting for run in listed)
        for run in new[:MAX_CANDIDATES]:
            candidate = self._new.setdefault(run.instance_id, Candidate(run.instance_id, run.status))
            candidate.status = run.status
            if candidate.match is Match.NOT_YET:
                yield from self._compare(candidate)

    def _older_of(self, listed: Sequence[RunSummary], age: float | None) -> set[int]:
        """The runs that were there before the request."""
        older = {run.instance_id for run in listed if self._intent.is_older(run.instance_id)}
        if age is not None and not self._intent.known:
            older |= _older_by_time(listed, age + _ROUNDING)
        return older

    def _compare(self, candidate: Candidate) -> Recipe[None]:
        try:
            shown = yield from self._kind.parameters(
                self._scope, self._intent.definition_id, candidate.instance_id
            )
        except SchedulerXError as error:
            candidate.match = Match.NOT_YET if is_passing(error) else Match.HIDDEN
            candidate.why = f"its parameters cannot be seen: {error}"
            return
        candidate.why = ""
        if shown is None:
            candidate.match = Match.HIDDEN if candidate.status.is_terminal else Match.NOT_YET
            return
        candidate.trigger_type = shown.trigger_type
        is_whole = self._shown.take(candidate.instance_id, shown)
        if self._is_ours(shown.text):
            candidate.match = Match.OURS
        elif is_whole:
            candidate.match = Match.OTHER
        else:
            candidate.match, candidate.why = Match.HIDDEN, "its parameters are not shown as a whole"

    def _is_ours(self, text: str) -> bool:
        marker = self._intent.marker
        return marker in text if marker else has_parameters(text, self._intent.parameters)

    # What was there before.

    @property
    def differ(self) -> bool:
        """Whether the parameters that are shown are those of the run for certain, and not those of the job."""
        return self._shown.differ_between_runs

    def look_for_a_difference(self) -> Recipe[None]:
        """See whether an older run shows other parameters: then :attr:`differ` holds."""
        for instance_id in self._older[:3]:
            if self.differ:
                return
            yield from self._look_up([instance_id])

    def older_twin(self) -> Recipe[int | None]:
        """Find an older run that carries the same parameters and is not the task's own, among the newest of them."""
        others = self._older_others[:_MAX_TWINS]
        yield from self._look_up(others)
        for instance_id in others:
            text = self._older_shown[instance_id]
            if text is not None and self._is_ours(text):
                return instance_id
        return None

    @property
    def has_seen_an_older(self) -> bool:
        """Whether older runs, if there are any, show what their parameters are."""
        return not self._older_others or any(text is not None for text in self._older_shown.values())

    @property
    def _older_others(self) -> list[int]:
        return [run for run in self._older if run not in self._intent.earlier]

    def _look_up(self, runs: list[int]) -> Recipe[None]:
        """Look up the parameters of older runs, those that were not looked up before. None where that fails."""
        runs = [run for run in runs if run not in self._older_shown]
        found = yield from side_by_side(
            [self._kind.parameters(self._scope, self._intent.definition_id, run) for run in runs]
        )
        for run, shown in zip(runs, found, strict=True):
            if shown is None or isinstance(shown, SchedulerXError):
                self._older_shown[run] = None
            else:
                self._older_shown[run] = shown.text
                self._shown.take(run, shown)

    # What may be there unseen.

    def may_hide_a_waiting_run(self) -> Recipe[bool]:
        """Whether ours may wait for its turn, unlisted: where there is room for it, it would run."""
        if self._shows_waiting or not self._active:
            return False
        try:
            limit = yield from self._kind.max_concurrency(self._scope, self._intent.definition_id)
        except SchedulerXError:
            return True
        return self._active >= (limit or 1)


def _older_by_time(listed: Sequence[RunSummary], age: float) -> set[int]:
    """The runs that began before a request of that age, by the service's own times alone.

    Their zone is not documented, so they are not held against our clock. But a run that began longer before the
    newest time in the list than the request is old, began before the request.
    """
    begins = {run.instance_id: begin for run in listed if (begin := _instant(run.start_time))}
    ends = [end for run in listed if run.status.is_terminal and (end := _instant(run.end_time))]
    newest = max([*begins.values(), *ends], default=datetime.min)
    return {run for run, begin in begins.items() if shortest_seconds(begin, newest) > age}


def _instant(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text or "").replace(tzinfo=None)
    except ValueError:
        return None
