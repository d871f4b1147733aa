"""The matrix: is the provider right, whatever the service does where its documentation is silent?

Every pair of values of every behaviour that the emulator's profile lists occurs in some profile, and under each
profile every scenario runs, in variants: with and without deferral, parameters, marker and a long history. In this
process and in virtual time, so that hours take milliseconds. Then each run that was started is held against its task.

    python -m dev.experiments.matrix                     # the long form: all pairs, all scenarios, 3 seeds
    python -m dev.experiments.matrix --seeds 1 --scenario timeout --profile hostile
"""

from __future__ import annotations

import argparse
import itertools
import logging
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

from allpairspy import AllPairs

from airflow_provider_schedulerx.emulator import profile as profiles
from airflow_provider_schedulerx.emulator.behaviours import BEHAVIOURS, PROFILES
from airflow_provider_schedulerx.emulator.instances import InstanceRun
from airflow_provider_schedulerx.emulator.profile import Profile
from airflow_provider_schedulerx.exceptions import RunUndecidedError
from dev.experiments.inprocess import LocalService
from dev.experiments.scenarios import BAD, HISTORIES, SCENARIOS, Scenario, Variant, World, workflows
from dev.experiments.virtual import VirtualClock

#: Of the long form.
SEEDS, IN_TURN = 3, 4

#: The provider needs the Professional edition: without it no run can be followed.
FIXED = {"edition": "professional"}

VARIANTS = tuple(
    Variant(deferrable, parameters, marker, history, job)
    for deferrable, (parameters, marker), history, job in itertools.product(
        (False, True), ((True, False), (False, False), (True, True), (False, True)), HISTORIES, (False, True)
    )
)


def pairwise() -> list[Profile]:
    """The named profiles, and others in which every pair of values occurs."""
    keys = [key for key in BEHAVIOURS if key not in FIXED]
    rows = AllPairs([BEHAVIOURS[key].names for key in keys])
    made = [Profile({**FIXED, **dict(zip(keys, row, strict=True))}) for row in rows]
    return [*(profiles.parse(name) for name in PROFILES), *made]


@dataclass
class Result:
    """How one scenario ended.

    :ivar problems: each a sentence; empty if all is as promised.
    :ivar doubt: what the task said where it left the decision to a person; empty if it did not.
    """

    scenario: Scenario
    profile: Profile
    variant: Variant
    seed: int
    problems: list[str] = field(default_factory=list)
    doubt: str = ""

    @property
    def command(self) -> str:
        return f"--scenario '{self.scenario.name}' --profile {self.profile} --variant {self.variant} --seed {self.seed}"


def play(scenario: Scenario, profile: Profile, variant: Variant, seed: int) -> Result:
    """Run one scenario, and judge it."""
    result = Result(scenario, profile, variant, seed)
    clock = VirtualClock()
    service = LocalService(workflows(), profile, clock, seed)
    world = World(service, clock, variant, random.Random(f"{seed} {scenario.name} {variant}"))
    random.seed(seed)
    with service.in_force():
        scenario.play(world)
        clock.sleep(1)
        service.engine.advance_all()
    if isinstance(world.task.errors[-1] if world.task.errors else None, RunUndecidedError):
        result.doubt = str(world.task.errors[-1])
    elif world.is_for_a_person or (world.task.was_ended_by_user and not world.knows_its_run):
        result.doubt = "a user ended the task before it knew its run, and then cleared it"
    result.problems += _judge(world, result)
    return result


def _judge(world: World, result: Result) -> Iterator[str]:
    """Hold runs against the task, as the chaos suite does (:func:`dev.experiments.experiment.judge`)."""
    own, task = world.service.own, world.task
    is_cleared = task.ti.max_tries > 4 or "clear" in result.scenario.name
    for earlier, later in itertools.combinations(own, 2):
        if earlier.ended is None or earlier.ended > later.created:
            yield f"duplicate: {later.wf_instance_id} was started while {earlier.wf_instance_id} was active"
        elif earlier.status == 4 and not is_cleared:
            yield f"duplicate: {later.wf_instance_id} was started after {earlier.wf_instance_id} had succeeded"
    told = world.told
    if result.doubt:
        if why := _needless(world, result):
            yield f"needless doubt ({why}): {result.doubt[:300]}"
        return
    for run in own:
        if run.is_active:
            yield f"left over: {run.wf_instance_id} is active, the task is {task.state}"
    end = own[-1] if own else None
    good = end is not None and end.status == 4
    if (task.state == "success") is not good:
        yield f"wrong: the task is {task.state}, its last run {_shown(end)}; {task.errors[-1:]!r}"[:500]
    elif good and end is not None and told != end.wf_instance_id:
        yield f"wrong: the task tells of {told}, its last run is {end.wf_instance_id}"
    if task.state != "success" and (why := _should_succeed(world, result)):
        yield f"gave up: the task is {task.state}, though {why}; {task.errors[-1:]!r}"[:500]


def _shown(run: InstanceRun | None) -> str:
    return "none" if run is None else f"{run.wf_instance_id} has status {run.status}"


def _needless(world: World, result: Result) -> str:
    """Why a person need not decide; empty if one has to."""
    if not result.scenario.is_ambiguous and not _is_ambiguous_by_itself(result):
        return "every start was answered clearly"
    if world.can_tell:
        return "the runs can be told apart by their parameters"
    is_alone = "strangers" not in result.scenario.name and result.scenario.name != "workflow is full"
    # With a marker the task does not list the runs before the start, so it cannot say which are new.
    if is_alone and not world.service.own and not result.variant.marker:
        return "nothing was started, and no run is new"
    return ""


def _is_ambiguous_by_itself(result: Result) -> bool:
    """Whether the service answers starts in a way that leaves open what it did."""
    is_full = result.scenario.name == "workflow is full"
    # The stranger's run, which fills it, is listed only after the task has asked which runs there are.
    is_late = result.profile["list_lag"] != "0"
    is_same_second = "same second" in result.scenario.name and result.variant.job
    if is_same_second and result.profile["same_second"] == "error":
        return True
    return result.profile["late_refusal"] != "never" or (
        is_full and (is_late or result.profile["when_full"] in ("skip", "join"))
    )


def _should_succeed(world: World, result: Result) -> str:
    """Why the task should have succeeded; empty if a failure is right."""
    name = result.scenario.name
    own = world.service.own
    if name == "disabled" and (result.variant.job or result.profile["disabled_workflow"] == "refuse"):
        return ""
    if name in ("kill", "timeout", "failure and retry") or (own and own[-1].key[1] == BAD):
        return ""
    if own and own[-1].status not in (1, 2, 3, 4, 5) and not result.variant.job:
        return ""  # it was stopped, and has a status that nobody knows
    if name == "clear while it runs" and result.profile["stopped_state"] != "5" and not result.variant.job:
        return ""  # nobody can say that the stopped run has ended
    return "nothing kept it from succeeding"


def in_turn(
    chosen: Sequence[Profile], scenarios: Iterable[Scenario], seed: int, count: int
) -> Iterator[tuple[Scenario, Profile, Variant, int]]:
    """Every profile with every scenario, and with so many variants in turn, half of them deferred."""
    sides = [[each for each in VARIANTS if each.deferrable is deferrable] for deferrable in (False, True)]
    for scenario in scenarios:
        first = SCENARIOS.index(scenario) + 5 * seed
        for number, profile in enumerate(chosen):
            for turn in range(count):
                side = sides[turn % 2]
                # Steps that have no divisor in common with the number of variants.
                yield (
                    scenario,
                    profile,
                    side[(first + 3 * number + 5 * (turn // 2)) % len(side)],
                    seed + number,
                )


def report(results: list[Result], seconds: float) -> int:
    """Print figures and every problem. :return: exit status."""
    by_scenario: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        by_scenario[result.scenario.name].append(result)
    print(f"\n{'':<26} {'cases':>6} {'problems':>9} {'doubt':>6}")
    for name, found in by_scenario.items():
        bad, unclear = (sum(bool(getattr(each, kind)) for each in found) for kind in ("problems", "doubt"))
        print(f"{name:<26} {len(found):>6} {bad:>9} {unclear:>6}")
    doubts = [each for each in results if each.doubt]
    bad_ones = [each for each in results if each.problems]
    print(f"{'all':<26} {len(results):>6} {len(bad_ones):>9} {len(doubts):>6}")
    print(f"\nA person has to decide in {100 * len(doubts) / max(1, len(results)):.1f} % of the cases.")
    answered = [each for each in results if each.profile["late_refusal"] == "never"]
    shown = [each for each in results if each.profile["parameters_shown"] in ("run", "escaped", "html")]
    for kind, found in (
        ("profile documented", [each for each in results if str(each.profile) == "documented"]),
        ("starts are answered truthfully", answered),
        (
            "starts are refused though they were made",
            [each for each in results if each.profile["late_refusal"] != "never"],
        ),
        ("parameters are shown, and the task has a marker", [each for each in shown if each.variant.marker]),
    ):
        share = 100 * sum(bool(each.doubt) for each in found) / max(1, len(found))
        print(f"  {kind}: {share:.1f} % of {len(found)}")
    print(f"{len(results)} cases in {seconds:.0f} s")
    kinds = Counter(
        (each.scenario.name, problem.partition(":")[0]) for each in bad_ones for problem in each.problems
    )
    for (name, kind), count in kinds.most_common():
        example = next(
            each
            for each in bad_ones
            if each.scenario.name == name and any(problem.startswith(kind) for problem in each.problems)
        )
        print(f"\n{count} x {name}: {kind}")
        print(f"  {example.command}")
        for problem in example.problems:
            print(f"  {problem}")
    print("\nAs promised." if not bad_ones else "\nNOT as promised.")
    return 1 if bad_ones else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="one only")
    parser.add_argument("--profile", action="append", type=profiles.parse, help="instead of all pairs")
    parser.add_argument("--scenario", action="append", choices=[each.name for each in SCENARIOS])
    parser.add_argument("--variant", action="append", choices=[str(each) for each in VARIANTS])
    parser.add_argument(
        "--variants",
        type=int,
        default=IN_TURN,
        help=f"how many of {len(VARIANTS)}, in turn (default: %(default)s)",
    )
    parser.add_argument("--verbose", action="store_true", help="show what the provider logs")
    arguments = parser.parse_args()
    chosen = arguments.profile or pairwise()
    print(f"{len(chosen)} profiles", flush=True)
    scenarios = [each for each in SCENARIOS if arguments.scenario is None or each.name in arguments.scenario]
    seeds = range(arguments.seeds) if arguments.seed is None else [arguments.seed]
    if arguments.variant:
        variants = [each for each in VARIANTS if str(each) in arguments.variant]
        cases = list(itertools.product(scenarios, chosen, variants, seeds))
    else:
        cases = [case for seed in seeds for case in in_turn(chosen, scenarios, seed, arguments.variants)]
    began = time.monotonic()
    with nullcontext() if arguments.verbose else silenced():
        results = [play(*case) for case in cases]
    return report(results, time.monotonic() - began)


@contextmanager
def silenced() -> Iterator[None]:
    """Keep the provider's log lines to ourselves: there are thousands."""
    import structlog

    before = structlog.get_config()
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        structlog.configure(**before)


if __name__ == "__main__":
    sys.exit(main())
