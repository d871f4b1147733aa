"""Runs tests against mutants: a session of pytest collects a test file once, and forks for each mutant.

In the fork the code of one function is exchanged, and the tests that reach the changed line are run until one fails. A
change outside of functions needs the module to be imported anew, which takes a session of its own. A fork is limited in
CPU time rather than in seconds, so that a busy machine kills no mutant.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import json
import os
import resource
import select
import signal
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import IO, Any

import pytest

from dev.experiments.mutation.mutants import Mutant

PACKAGE = "airflow_provider_schedulerx"

#: A mutant may use as much CPU time as the tests do without it, times this, and this many seconds.
_FACTOR, _SECONDS = 4, 3
#: And, where it waits for something that never comes, seconds of any clock: these, and so many times the clean run's.
_WAIT, _WAIT_FACTOR = 60, 10
_JOBS = 8
_NEEDS_IMPORT = "needs import"
TIMEOUT, CRASH = "timeout", "crash"


@dataclass
class CleanRun:
    """What a test file does without any change.

    :ivar cpu: seconds of CPU, by test.
    :ivar seconds: of any clock, by test.
    :ivar reached: lines, by module and test; those of no test are reached when the module is imported.
    """

    cpu: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    reached: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    imported: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def tests_of(self, mutant: Mutant) -> list[str]:
        """Return the tests that reach a mutant, quick ones first."""
        reached = self.reached.get(mutant.path, {})
        tests = [test for test, lines in reached.items() if test and _touches(mutant, lines)]
        if not tests and _touches(mutant, reached.get("", [])):
            tests = list(self.seconds)  # the line runs when the module is imported
        return sorted((test for test in tests if test in self.seconds), key=self.seconds.__getitem__)


def _touches(mutant: Mutant, lines: list[int]) -> bool:
    return any(line in mutant.lines for line in lines)


def prepare() -> None:
    """Make this process ready to import Airflow, like tests/conftest.py."""
    for name in [name for name in os.environ if name.startswith("AIRFLOW") or "proxy" in name.lower()]:
        del os.environ[name]
    os.environ |= {
        "AIRFLOW_HOME": tempfile.mkdtemp(prefix="airflow-home-"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    }


def preload(names: Iterable[str]) -> None:
    """Import what tests import, but nothing of ours: each session imports that anew."""
    for name in sorted(names):
        with contextlib.suppress(Exception):  # an alias, or a part that cannot be imported by itself
            importlib.import_module(name)
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


def clean_run(file: str, paths: Sequence[str]) -> CleanRun:
    """Run a test file as it is, and see what it reaches."""

    def work(tell: Callable[[Any], None]) -> None:
        import coverage

        measured = coverage.Coverage(data_file=None, include=list(paths))
        recorder = _Recorder(measured)
        measured.start()
        pytest.main(_arguments(file), plugins=[recorder])
        measured.stop()
        data = measured.get_data()
        reached: dict[str, dict[str, list[int]]] = {}
        for path in data.measured_files():
            tests = reached.setdefault(os.path.relpath(path), defaultdict(list))
            for line, contexts in data.contexts_by_lineno(path).items():
                for context in contexts:
                    tests[context].append(line)
        ours = (PACKAGE, "tests", "dev", "__main__", "conftest", "recorder")
        tell(
            {
                "cpu": recorder.cpu,
                "seconds": recorder.seconds,
                "reached": reached,
                "imported": [
                    name
                    for name in sys.modules
                    if name.partition(".")[0] not in ours and not name.startswith("test_")
                ],
                "failed": recorder.failed,
            }
        )

    for answer in _in_a_child(work, seconds=900):
        if isinstance(answer, dict):
            return CleanRun(**answer)
    raise SystemExit(f"The clean run of {file} came to no end")


def kill(file: str, clean: CleanRun, mutants: Sequence[Mutant]) -> Iterator[tuple[int, str]]:
    """Run the tests of a file against mutants.

    :return: the place of each mutant that was killed, and what killed it: a test, "timeout" or "crash".
    """
    todo = [(at, mutant) for at, mutant in enumerate(mutants) if clean.tests_of(mutant)]
    if not todo:
        return
    by_import = []

    # Tests that wait for an emulator leave room for others.
    jobs = _JOBS if sum(clean.seconds.values()) > 2 * sum(clean.cpu.values()) else 1

    def work(tell: Callable[[Any], None]) -> None:
        sessions = []
        for place in range(jobs):
            session = os.fork()
            if session == 0:
                try:
                    pytest.main(_arguments(file), plugins=[_Exchanger(clean, todo[place::jobs], tell)])
                finally:
                    os._exit(0)
            sessions.append(session)
        for session in sessions:
            os.waitpid(session, 0)

    for answer in _in_a_child(work, seconds=3600):
        if isinstance(answer, str):
            raise SystemExit(f"{file}: {answer}")
        at, killer = answer
        if killer == _NEEDS_IMPORT:
            by_import.append(at)
        else:
            yield at, killer
    for at in by_import:
        mutant = mutants[at]
        tests = clean.tests_of(mutant)
        for killer in _in_a_child(
            functools.partial(_import_and_run, file, mutant, tests), **_limits(clean, tests)
        ):
            yield at, killer


def _limits(clean: CleanRun, tests: list[str]) -> dict[str, Any]:
    return {
        "cpu": int(_FACTOR * sum(clean.cpu[test] for test in tests)) + _SECONDS,
        "seconds": _WAIT + _WAIT_FACTOR * sum(clean.seconds[test] for test in tests),
    }


def _arguments(*more: str) -> list[str]:
    return [*more, "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:cov", "--tb=no"]


class _Exchanger:
    """A plugin of pytest: instead of running the tests, forks for each mutant and runs some of them there."""

    def __init__(self, clean: CleanRun, todo: list[tuple[int, Mutant]], tell: Callable[[Any], None]) -> None:
        self._clean = clean
        self._todo = todo
        self._tell = tell
        #: By function, the tests that have killed its mutants: likely to kill the next one.
        self._good: dict[str, list[str]] = defaultdict(list)
        self._failed: str | None = None

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        for at, mutant in self._todo:
            tests = self._clean.tests_of(mutant)
            good = [test for test in reversed(self._good[mutant.function]) if test in tests]
            chosen = [items[test] for test in dict.fromkeys((*good, *tests)) if test in items]
            work = functools.partial(self._run, mutant, chosen)
            for killer in _in_a_child(work, **_limits(self._clean, tests)):
                self._tell((at, killer))
                if "::" in killer:
                    good = self._good[mutant.function]
                    good[:] = [*(test for test in good if test != killer), killer]
        return True

    def _run(self, mutant: Mutant, items: list[pytest.Item], tell: Callable[[Any], None]) -> None:
        if not exchange(mutant):
            tell(_NEEDS_IMPORT)
            return
        for item, after in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
            if self._failed:
                tell(self._failed)
                return

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and self._failed is None:
            self._failed = report.nodeid


def exchange(mutant: Mutant) -> bool:
    """Give the changed function its new code.

    :return: False if that does not show the change: it is outside of functions, or in a default or decorator.
    """
    code = compile(mutant.source, os.path.abspath(mutant.path), "exec", dont_inherit=True)
    found: Any = sys.modules[_module_name(mutant.path)]
    for name in mutant.function.split("."):
        if name not in vars(found):
            return False
        found = vars(found)[name]
        codes = [each for each in code.co_consts if isinstance(each, CodeType) and each.co_name == name]
        if len(codes) != 1:
            return False
        code = codes[0]
        function = _function(found)
        if function is not None:
            if function.__code__ == code:
                return False
            function.__code__ = code
            return True
    return False


def _function(found: Any) -> FunctionType | None:
    if isinstance(found, property):
        found = found.fget
    if isinstance(found, functools.cached_property):
        found = found.func
    found = inspect.unwrap(getattr(found, "__func__", found))
    return found if isinstance(found, FunctionType) else None


def _module_name(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def _import_and_run(file: str, mutant: Mutant, tests: list[str], tell: Callable[[Any], None]) -> None:
    sys.meta_path.insert(0, _Changed(mutant))
    chooser = _Chooser(tests)
    try:
        importlib.import_module(_module_name(mutant.path))  # before pytest's own importer is in front of ours
        pytest.main(_arguments(file, "-x"), plugins=[chooser])
    except Exception as error:
        tell(f"import: {type(error).__name__}")
        return
    if chooser.failed or not chooser.ran:
        tell(chooser.failed or "import: no test ran")


class _Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports the changed text of one module."""

    def __init__(self, mutant: Mutant) -> None:
        self._name = _module_name(mutant.path)
        self._path = os.path.abspath(mutant.path)
        self._code = compile(mutant.source, self._path, "exec", dont_inherit=True)

    def find_spec(
        self, fullname: str, path: object = None, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        return importlib.util.spec_from_file_location(fullname, self._path, loader=self)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(self._code, module.__dict__)


class _Chooser:
    """A plugin of pytest: keeps the chosen tests, and notes the first that fails."""

    def __init__(self, tests: list[str]) -> None:
        self._order = {test: at for at, test in enumerate(tests)}
        self.failed: str | None = None
        self.ran = 0

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        chosen = [item for item in items if item.nodeid in self._order]
        items[:] = sorted(chosen, key=lambda item: self._order[item.nodeid])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.ran += 1
        if report.failed and self.failed is None:
            self.failed = report.nodeid


class _Recorder:
    """A plugin of pytest: says to coverage which test runs, and takes its time."""

    def __init__(self, measured: Any) -> None:
        self._measured = measured
        self.cpu: dict[str, float] = {}
        self.seconds: dict[str, float] = {}
        self.failed: list[str] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Any:
        self._measured.switch_context(item.nodeid)
        began, cpu = time.perf_counter(), time.process_time()
        try:
            return (yield)
        finally:
            self.seconds[item.nodeid] = time.perf_counter() - began
            self.cpu[item.nodeid] = time.process_time() - cpu
            self._measured.switch_context("")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.append(report.nodeid)


def _in_a_child(
    work: Callable[[Callable[[Any], None]], None], *, seconds: float, cpu: int | None = None
) -> Iterator[Any]:
    """Yield what a function tells in a child; "timeout" or "crash" if it comes to no end by itself."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _be_the_child(work, os.fdopen(writing, "w"), cpu)
    os.close(writing)
    ended = False
    try:
        for line in _lines(reading, seconds):
            if line == "":
                ended = True
                break
            yield json.loads(line)
        if not ended:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if status:
            slow = not ended or (
                os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL)
            )
            yield TIMEOUT if slow else CRASH
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # and what it has started, such as an emulator


def _be_the_child(work: Callable[[Callable[[Any], None]], None], pipe: IO[str], cpu: int | None) -> None:
    def tell(what: Any) -> None:
        pipe.write(json.dumps(what) + "\n")
        pipe.flush()

    status = 1
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if cpu is not None:
            resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))
        silence = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(silence, stream)
        _calm_hypothesis()
        work(tell)
        status = 0
    except BaseException:
        if path := os.environ.get("MUTATION_TRACEBACK"):
            Path(path).write_text(traceback.format_exc(), "utf-8")
    finally:
        os._exit(status)


def _lines(reading: int, seconds: float) -> Iterator[str]:
    """Yield lines as they come, and an empty one at the end; nothing more if time is up."""
    text = b""
    deadline = time.monotonic() + seconds
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        while select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
            part = pipe.read(1 << 16)
            if not part:
                yield ""
                return
            *lines, text = (text + part).split(b"\n")
            for line in lines:
                yield line.decode()


@functools.cache
def _calm_hypothesis() -> None:
    """The same examples each time, no file of failures, and no search for the smallest one."""
    from hypothesis import HealthCheck, Phase, settings

    settings.register_profile(
        "mutation",
        database=None,
        derandomize=True,
        deadline=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    settings.load_profile("mutation")
