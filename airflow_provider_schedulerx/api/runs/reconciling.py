"""Reconciles a lost start: finds out whether the request started a run, and which one it is.

Used when the answer of a start was lost, or the process that waited for it. What is known is the
:class:`~airflow_provider_schedulerx.api.runs.intents.StartIntent` that was written before.

Nothing is guessed. What the service does not document (how soon and how long it lists a run, how many it lists, whether
it lists waiting ones, whether ``GetJobInstance`` shows the parameters of the run or those of the job) is either seen in
its answers or ends in ambiguity, which time or a person has to resolve.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_schedulerx.api.connection.settings import Scope
from airflow_provider_schedulerx.api.exceptions import SchedulerXError
from airflow_provider_schedulerx.api.runs.candidates import Candidate, Candidates, Match
from airflow_provider_schedulerx.api.runs.intents import StartIntent, parameters_digest
from airflow_provider_schedulerx.api.runs.recipes import Pause, Recipe
from airflow_provider_schedulerx.api.runs.tracking import is_passing

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.runs.kinds import RunKind

#: Seconds between two lists.
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.5, 5.0


@dataclass(frozen=True, slots=True)
class Reconciled:
    """A run that is ours, or an ambiguity, or neither: then nothing was started.

    :ivar ambiguity: why nobody can tell, with the candidates.
    :ivar may_resolve: whether a later reconciliation may succeed where this one did not.
    :ivar others: how many runs of others have been started at about the same time.
    """

    instance_id: int | None = None
    ambiguity: str | None = None
    may_resolve: bool = False
    others: int = field(default=0, compare=False)

    @property
    def outcome(self) -> str:
        """``found``, ``not_started`` or ``ambiguous``."""
        if self.ambiguity is not None:
            return "ambiguous"
        return "not_started" if self.instance_id is None else "found"


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
    kind: RunKind,
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
        return Reconciled(
            ambiguity=f"the runs of the {kind.definition_noun} could not be listed before the start"
        )
    age = age or Age()
    candidates = Candidates(kind, scope, intent)
    settling = max(0.0, settling_time - age.at_least)
    pause = min(max(settling_time / 10, _SHORTEST_PAUSE), _LONGEST_PAUSE)
    began = now = yield Pause(0)
    while True:
        elapsed = now - began
        try:
            yield from candidates.poll(None if age.at_most is None else age.at_most + elapsed)
        except SchedulerXError as error:
            if not is_passing(error) or elapsed >= settling + patience:
                return Reconciled(
                    ambiguity=f"the runs of the {kind.definition_noun} cannot be listed: {error}",
                    may_resolve=is_passing(error),
                )
            log.warning("Looking for the run that may have been started: %s", error)
        else:
            marked = candidates.newest_marked
            # A failed one may have been followed by another, which is not listed yet.
            if marked and (elapsed >= settling or not may_be_several or not marked.may_have_failed):
                return Reconciled(marked.instance_id)
            if elapsed >= settling:
                decided = yield from _decide(kind, candidates, intent, may_wait=elapsed < settling + patience)
                if decided is not None:
                    return decided
        left = settling - elapsed
        now = yield Pause(min(pause, max(left, _SHORTEST_PAUSE)) if left > 0 else pause)


def suspects_recipe(kind: RunKind, scope: Scope, intent: StartIntent, age: Age) -> Recipe[list[Candidate]]:
    """Find the active runs that may have been started by a request of which only the parameters and the age are known.

    :return: all that are not certain to be older, or to have other parameters. Faults are raised.
    """
    candidates = Candidates(kind, scope, intent)
    yield from candidates.poll(age.at_most)
    active = [run for run in candidates.new if not run.status.is_terminal]
    if active:
        yield from candidates.look_for_a_difference()
    return [run for run in active if not (candidates.differ and run.match is Match.OTHER)]


def _decide(
    kind: RunKind, candidates: Candidates, intent: StartIntent, may_wait: bool
) -> Recipe[Reconciled | None]:
    """:return: None if it is worth waiting."""
    runs, ours = candidates.new, candidates.matching(Match.OURS)
    has_parameters_of_its_own = intent.parameters != parameters_digest(None)
    if len(ours) > 1:
        return _ambiguous("several new runs have the same parameters as this start", ours)
    if ours and has_parameters_of_its_own:
        # Even if others cannot be seen: these parameters are not there by chance, unless they are always.
        twin = yield from candidates.older_twin()
        if twin is None and not intent.marker and not candidates.has_seen_an_older:
            return _ambiguous(
                "a new run has the same parameters as this start, but those of earlier runs cannot be seen, so they may "
                "always be the same",
                ours,
            )
        if twin is None:
            return Reconciled(ours[0].instance_id)
        return _ambiguous(
            f"a new run has the same parameters as this start, but so has {kind.instance_noun} {twin} from before the start, so "
            "something else may have started it",
            ours,
        )
    not_yet = candidates.matching(Match.NOT_YET)
    if may_wait and not_yet:
        return None
    if ours:
        return _ambiguous(
            "the start had no parameters by which its run could be distinguished from others", ours
        )
    unseen = candidates.matching(Match.NOT_YET, Match.HIDDEN)
    if unseen:
        return _ambiguous(
            "new runs cannot be distinguished from the one that may have been started",
            unseen,
            may_resolve=bool(not_yet),
        )
    if not candidates.reaches_back:
        return _ambiguous("the list of runs may not reach back to before the start", runs[:10])
    if runs:
        yield from candidates.look_for_a_difference()
        if not candidates.differ:
            return _ambiguous(
                "new runs show other parameters, but GetJobInstance shows the same ones for every run, so they "
                "may be those of the job rather than those of the run",
                runs,
            )
    if (yield from candidates.may_hide_a_waiting_run()):
        if may_wait:
            return None
        return _ambiguous(
            f"the {kind.definition_noun} is at its maximum concurrency, and whether the list shows a waiting run is not known",
            runs,
            may_resolve=True,
        )
    return Reconciled(others=len(runs))


def _ambiguous(why: str, runs: list[Candidate], may_resolve: bool = False) -> Reconciled:
    listed = "; ".join(map(str, runs)) or "none"
    return Reconciled(ambiguity=f"{why}. New instances: {listed}", may_resolve=may_resolve)
