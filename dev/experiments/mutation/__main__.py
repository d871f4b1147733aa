"""Mutation testing: ``make mutation``, or ``python -m dev.experiments.mutation [module ...]``.

Each small change of the code that decides whether a run is started twice, lost or misreported has to be noticed by a
test, or be explained in tests/mutation_survivors.toml. Fails if one survives that is not listed there, if one is
listed that is killed or does not exist, or if fewer than 90 % of those that are not equivalent are killed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path

from dev.experiments.mutation.mutants import Mutant, mutants_of
from dev.experiments.mutation.running import (
    CRASH,
    PACKAGE,
    TIMEOUT,
    CleanRun,
    clean_run,
    kill,
    preload,
    prepare,
)

SURVIVORS = Path("tests/mutation_survivors.toml")
#: How the reason of a mutant begins that no test can notice.
EQUIVALENT = "equivalent"
AT_LEAST = 90
#: What earlier runs have found: the lines that each test reaches, and the test that killed a mutant.
CACHE = Path(".mutation")

_RECONCILING = "tests/api/runs/test_reconciling.py"
_OWNER, _ONE_RUN = "tests/operators/test_run_owner.py", "tests/operators/test_one_run.py"
_ADVERSARY, _DURABLE = "tests/matrix/test_adversary.py", "tests/operators/test_durable.py"
#: Modules, and the test files that may notice their changes, the quick ones first.
TESTS = {
    "api/runs/tracking.py": ["tests/api/runs/test_tracking.py"],
    "api/runs/intents.py": ["tests/api/runs/test_intents.py", _RECONCILING],
    "api/runs/candidates.py": [_RECONCILING, "tests/api/runs/test_kinds.py", _ADVERSARY, _DURABLE],
    "api/runs/reconciling.py": [_RECONCILING, _ADVERSARY, _DURABLE],
    "api/runs/ends.py": ["tests/api/runs/test_ends.py"],
    "operators/start_store.py": ["tests/operators/test_start_store.py", _DURABLE],
    "operators/launching.py": ["tests/operators/test_launching.py", _DURABLE],
    "operators/start.py": ["tests/operators/test_launching.py", _DURABLE],
    "operators/lost_starts.py": ["tests/operators/test_lost_starts.py", _DURABLE],
    "operators/retries_without_store.py": ["tests/operators/test_launching.py", _ONE_RUN],
    "operators/earlier_runs.py": ["tests/operators/test_earlier_runs.py", _DURABLE],
    "operators/start_policy.py": [
        "tests/operators/test_start_policy.py",
        "tests/operators/test_launching.py",
    ],
    "operators/interrupts.py": ["tests/operators/test_interrupts.py"],
    "operators/following.py": ["tests/operators/test_following.py"],
    "operators/run_stopper.py": [_OWNER],
    "operators/run_owner.py": [_OWNER, _ONE_RUN],
    "operators/try_end.py": [_OWNER, _ONE_RUN],
}


@dataclass
class Outcome:
    """:ivar killer: the test that noticed the change, or the limit that it met; None if it survives."""

    mutant: Mutant
    killer: str | None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("module", nargs="*", help="such as api/runs/tracking.py (default: all)")
    parser.add_argument("--again", action="store_true", help="also those that were killed before")
    parser.add_argument("--quick", action="store_true", help="run the first test file of each module only")
    parser.add_argument("--only", help="functions whose name contains this")
    arguments = parser.parse_args()
    modules = arguments.module or list(TESTS)
    prepare()
    tests = {module: TESTS[module][: 1 if arguments.quick else None] for module in modules}
    files = list(dict.fromkeys(file for each in tests.values() for file in each))
    clean = _clean_runs(files, modules)
    preload({name for each in clean.values() for name in each.imported})
    explained = tomllib.loads(SURVIVORS.read_text("utf-8")) if SURVIVORS.exists() else {}
    bad = 0
    for module in modules:
        mutants = mutants_of(Path(PACKAGE, module))
        if arguments.only:
            mutants = [each for each in mutants if arguments.only in each.function]
        outcomes = _run_all(
            module, mutants, {file: clean[file] for file in tests[module]}, again=arguments.again
        )
        bad += _report(
            module, outcomes, explained.get(module, {}), is_whole=not arguments.only and not arguments.quick
        )
    return 1 if bad else 0


def _clean_runs(files: list[str], modules: list[str]) -> dict[str, CleanRun]:
    paths = [str(Path(PACKAGE, module)) for module in TESTS]
    texts = "".join(Path(path).read_text("utf-8") for path in paths)
    CACHE.mkdir(exist_ok=True)
    clean = {}
    for file in files:
        digest = hashlib.sha256((texts + Path(file).read_text("utf-8")).encode()).hexdigest()[:16]
        kept = CACHE / f"{Path(file).stem}-{digest}.json"
        if kept.exists():
            clean[file] = CleanRun(**json.loads(kept.read_text("utf-8")))
            continue
        began = time.monotonic()
        clean[file] = clean_run(file, paths)
        print(f"{file}: {len(clean[file].seconds)} tests in {time.monotonic() - began:.0f} s", flush=True)
        if failed := clean[file].failed:
            print(f"left out, since they fail without any change: {', '.join(failed)}", flush=True)
            clean[file].seconds = {
                test: took for test, took in clean[file].seconds.items() if test not in failed
            }
            continue
        kept.write_text(json.dumps(asdict(clean[file])), "utf-8")
    return clean


def _run_all(module: str, mutants: list[Mutant], clean: dict[str, CleanRun], *, again: bool) -> list[Outcome]:
    kept = CACHE / f"killed-{module.replace('/', '.')}.json"
    killed: dict[str, str] = json.loads(kept.read_text("utf-8")) if kept.exists() else {}
    outcomes = [Outcome(each, None if again else killed.get(each.key)) for each in mutants]
    for file, each in clean.items():
        alive = [outcome for outcome in outcomes if outcome.killer is None]
        for at, killer in kill(file, each, [outcome.mutant for outcome in alive]):
            alive[at].killer = killer
            killed[alive[at].mutant.key] = killer
            kept.write_text(json.dumps(killed, indent=0), "utf-8")
        left = sum(outcome.killer is None for outcome in outcomes)
        print(f"  {file}: {len(alive)} mutants before, {left} after", flush=True)
    return outcomes


def _report(
    module: str, outcomes: list[Outcome], explained: dict[str, dict[str, str]], *, is_whole: bool
) -> int:
    """Print the figures of a module.

    :return: what is wrong: survivors that are not explained, explanations of what does not survive, too few killed.
    """
    reasons = {
        (function, change): why for function, each in explained.items() for change, why in each.items()
    }
    survivors = {(each.mutant.function, each.mutant.change): each for each in outcomes if each.killer is None}
    equivalent = [key for key in survivors if reasons.get(key, "").startswith(EQUIVALENT)]
    killed = len(outcomes) - len(survivors)
    endless = sum(each.killer in (TIMEOUT, CRASH) for each in outcomes)
    share = 100 * killed / ((len(outcomes) - len(equivalent)) or 1)
    print(
        f"{module}: {len(outcomes)} mutants, {killed} killed ({endless} of them by a limit), "
        f"{len(equivalent)} equivalent, {len(survivors) - len(equivalent)} survive: {share:.1f} %",
        flush=True,
    )
    bad = [
        f"not in {SURVIVORS}: line {each.mutant.lines[0]}, {function}\n    {change!r}"
        for (function, change), each in survivors.items()
        if (function, change) not in reasons
    ]
    if is_whole:
        gone = reasons.keys() - survivors.keys()
        bad += [
            f"in {SURVIVORS}, but does not survive: {name}\n    {change!r}" for name, change in sorted(gone)
        ]
        if share < AT_LEAST:
            bad.append(f"fewer than {AT_LEAST} % are killed")
    for line in bad:
        print(f"  {line}")
    return len(bad)


if __name__ == "__main__":
    sys.exit(main())
