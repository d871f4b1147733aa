"""What a contributor and a release meet first: make, the pages at the root, .github, and what is declared."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev import check_release, pictures, skips
from dev.chinese import SUFFIX, prose
from dev.harness.waiting import free_port
from tests.conftest import ROOT

PAGES = [ROOT / name for name in ("CONTRIBUTING.md", "CODE_OF_CONDUCT.md", "SECURITY.md")]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
TARGETS = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)


def load(file: Path) -> Any:
    return yaml.safe_load(file.read_text())


# make


@pytest.mark.skipif(shutil.which("make") is None, reason="no make here: apt-get install make")
def test_make_alone_prints_every_target_with_its_text() -> None:
    printed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    listed = dict(re.findall(r"^  make ([a-z-]+) +(\S.*)$", printed, re.MULTILINE))
    (phony,) = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(listed) == set(phony.split())
    assert {"test", "test-fast", "format", "lint", "types", "demo", "ui", "docs"} <= set(listed)


def test_what_the_fast_tests_leave_out_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    (slow,) = re.findall(r"^SLOW := \$\(addprefix tests/, (.*?)\)$", makefile, re.MULTILINE | re.DOTALL)
    files = re.findall(r"[\w/]+\.py", slow)
    assert len(files) > 10
    assert [file for file in files if not (ROOT / "tests" / file).exists()] == []


def test_ci_runs_everything_and_the_tests_last() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    made = re.findall(r'^make PYTHON="\$python" ([a-z-]+)', script, re.MULTILINE)
    assert made == ["check", "demo", "test"]
    last = script.rstrip().splitlines()[-1]
    assert last.startswith('make PYTHON="$python" test '), "pytest's closing line must be the last"


# Pictures


def test_each_picture_is_shown_and_each_that_is_shown_is_there() -> None:
    assert {picture.name for picture in pictures.IMAGES.iterdir()} == pictures.shown()


def test_pictures_are_replaced_all_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, taken = tmp_path / "images", tmp_path / "taken"
    for folder, names in ((images, ("one.png", "gone.png")), (taken, ("one.png", "extra.png"))):
        folder.mkdir()
        for name in names:
            (folder / name).write_text(f"{folder.name} {name}")
    monkeypatch.setattr(pictures, "IMAGES", images)
    monkeypatch.setattr(pictures, "shown", lambda: {"one.png", "two.png"})
    assert pictures.replace(taken) == ["two.png"]
    assert {each.name: each.read_text() for each in images.iterdir()} == {
        "one.png": "images one.png",
        "gone.png": "images gone.png",
    }
    (taken / "two.png").write_text("taken two.png")
    assert pictures.replace(taken) == []
    assert {each.name: each.read_text() for each in images.iterdir()} == {
        "one.png": "taken one.png",
        "two.png": "taken two.png",
    }


# What was skipped

SKIPPING = """
import pytest
@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.skipif(True, reason="no PostgreSQL here: it is not installed")
def test_database(number): ...
def test_of_another_version(): pytest.importorskip("not_there_at_all")
def test_other(): pytest.skip("the moon is full")
def test_good(): ...
"""


@pytest.mark.parametrize("workers", [[], ["-n", "1"]], ids=["alone", "xdist"])
def test_the_end_says_what_was_skipped_and_what_to_install(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, workers: list[str]
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makepyfile(SKIPPING)
    lines = pytester.runpytest_subprocess("-p", "dev.skips", "-ra", *workers).outlines
    (start,) = (number for number, line in enumerate(lines) if "skipped here" in line)
    assert lines[start + 1 : -1] == [
        "1 test: could not import 'not_there_at_all': No module named 'not_there_at_all' -> make .venv/ready",
        "2 tests: no PostgreSQL here: it is not installed -> dev/install-services",
        "1 test: the moon is full -> no remedy is known",
    ]
    assert re.fullmatch(r"=+ 1 passed, 4 skipped in .* =+", lines[-1])


def test_the_end_also_says_that_nothing_was_skipped(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makepyfile("def test_good(): ...")
    assert "Nothing was skipped." in pytester.runpytest_subprocess("-p", "dev.skips").outlines


def test_every_reason_to_skip_has_a_remedy() -> None:
    reasons = [
        reason
        for file in (ROOT / "tests").rglob("*.py")
        if file != Path(__file__)
        for reason in re.findall(
            r'(?:skipif\(.*|importorskip\(.*)reason="([^"]+)"|pytest\.skip\("([^"]+)"', file.read_text()
        )
    ]
    assert len(reasons) >= 5
    for one, other in reasons:
        assert skips.remedy(one or other) != "no remedy is known", f"dev/skips.py: {one or other}"


# What is declared


def test_every_bound_has_its_reason_above() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    project = text[text.index("\ndependencies = [") : text.index("\n[project.entry-points")].splitlines()
    bounds = [number for number, line in enumerate(project) if line.startswith('    "')]
    declared = PROJECT["project"]["dependencies"] + [
        each for extra in PROJECT["project"]["optional-dependencies"].values() for each in extra
    ]
    assert len(bounds) == len(declared)
    for number in bounds:
        assert project[number - 1].startswith("    # "), project[number]
    assert all(">=" in each for each in declared)


WITHOUT_YAML = """
from importlib.machinery import PathFinder
real = PathFinder.find_spec
def find_spec(cls, name, *more):
    return None if name.partition(".")[0] == "yaml" else real(name, *more)
PathFinder.find_spec = classmethod(find_spec)
"""


@pytest.fixture
def without_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that are started now do not find PyYAML."""
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_YAML)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")


INSTALL = "pip install 'airflow-provider-schedulerx[emulator]'"


@pytest.mark.usefixtures("without_yaml")
def test_the_emulator_names_the_extra_that_is_missing() -> None:
    command = [sys.executable, "-m", "airflow_provider_schedulerx.emulator", "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"SchedulerX emulator: the module yaml is not installed: {INSTALL}\n"


@pytest.mark.usefixtures("without_yaml")
def test_the_fixtures_name_the_extra_that_is_missing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(schedulerx_emulator): ...")
    result = pytester.runpytest_subprocess("-p", "no:asyncio", "-p", "no:schemathesis")
    result.assert_outcomes(errors=1)
    assert f"no PyYAML here: {INSTALL}" in result.outlines


# The pages


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: page.name)
def test_links_and_paths_lead_to_what_exists(page: Path) -> None:
    text = page.read_text()
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        assert target.startswith("https://") or (ROOT / target).exists(), target
    if page in PAGES:
        paths = re.findall(
            r"`((?:\.github|\.ci|airflow|docs|dev|tests|example_dags)[/\w.-]*/[\w./-]*)`", text
        )
        for path in paths:
            assert (ROOT / path).exists(), path


def test_markdown_wraps_at_100_columns() -> None:
    """But for tables, code and Chinese, whose characters have no width that all editors agree on."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / ".github").rglob("*.md")]
    english = [page for page in pages if not page.name.endswith((SUFFIX, "zh-CN.md"))]
    assert len(english) > 40
    assert [
        f"{page.name}:{number}"
        for page in english
        for number, line in enumerate(prose(page.read_text()).split("\n"), 1)
        if len(line) > 100 and not line.startswith("|")
    ] == []


def test_contributing_names_only_targets_that_exist() -> None:
    named = set(
        re.findall(r"(?:^|`)make ([a-z][a-z-]+)", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    )
    assert named
    assert named <= set(TARGETS)


def test_contributing_explains_the_words() -> None:
    table = (ROOT / "CONTRIBUTING.md").read_text().partition("## Words")[2]
    words = re.findall(r"^\| ([\w ]+) \|", table, re.MULTILINE)
    assert words == [
        *("word", "call", "operation", "scope", "intent", "reconcile", "verdict"),
        *("terminal event", "poller", "TaskRun", "phase", "profile"),
    ]


def test_no_address_of_this_project_is_invented() -> None:
    """There is none yet. With the first one, `[project.urls]` gets it, and this test goes."""
    assert "urls" not in PROJECT["project"]
    texts = [*PAGES, *(file for file in (ROOT / ".github").rglob("*") if file.is_file())]
    addresses = re.compile(r"https?://\S+|[\w.-]+@[\w-]+\.[\w.]+|@[\w-]+/[\w-]+")
    assert {file.name: found for file in texts if (found := addresses.findall(file.read_text()))} == {}


# Docstrings


def docstrings(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""


def test_fields_of_docstrings_start_their_line() -> None:
    """In the middle of a line, the API reference prints them as text."""
    field = re.compile(r"\S\s+:(?:param|return|raises|ivar)\b[^:`]*:")
    files = sorted((ROOT / "airflow_provider_schedulerx").rglob("*.py"))
    lines = [(file.name, line) for file in files for text in docstrings(file) for line in text.splitlines()]
    assert sum(line.startswith(":return:") for _, line in lines) >= 30
    assert [(name, line) for name, line in lines if field.search(line)] == []


# .github


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_workflows_have_no_rights_but_those_they_name_and_pin_what_they_use(file: Path) -> None:
    workflow = load(file)
    assert workflow["permissions"] == {}
    for name, job in workflow["jobs"].items():
        writes = {right for right, access in job["permissions"].items() if access == "write"}
        assert writes == ({"id-token"} if (file.stem, name) == ("release", "publish") else set())
        assert "timeout-minutes" in job or "uses" in job
    for used in re.findall(r"uses: (.*)", file.read_text()):
        assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+|\$/\.github/workflows/ci\.yml", used)


def test_the_same_release_of_an_action_everywhere() -> None:
    used = {line for file in WORKFLOWS for line in re.findall(r"uses: (.*@.*)", file.read_text())}
    assert len(used) == len({line.partition("@")[0] for line in used})


def test_workflows_watch_files_that_exist() -> None:
    watched = {
        path
        for file in WORKFLOWS
        for event in load(file)[True].values()  # YAML reads "on" as true
        if isinstance(event, dict)
        for path in event.get("paths", ())
    }
    assert "airflow_provider_schedulerx/version_compat/**" in watched
    assert [path for path in sorted(watched) if not any(ROOT.glob(path))] == []


def test_ci_is_the_script_and_a_release_waits_for_it() -> None:
    ci, release = (load(ROOT / ".github" / "workflows" / f"{name}.yml") for name in ("ci", "release"))
    assert "bash .ci/run" in [step.get("run") for step in ci["jobs"]["ci"]["steps"]]
    jobs = release["jobs"]
    # YAML 1.1 reads the key `on` as true.
    assert release[True] == {"push": {"tags": ["v*"]}}
    assert jobs["test"]["uses"].endswith("workflows/ci.yml")
    assert any("dev/check_release.py" in step.get("run", "") for step in jobs["build"]["steps"])
    assert set(jobs["publish"]["needs"]) == {"test", "build"}
    assert jobs["publish"]["environment"] == "pypi"
    assert jobs["publish"]["steps"][-1]["with"] == {"attestations": True}


def test_owners_are_asked_for_what_exists() -> None:
    lines = (ROOT / ".github" / "CODEOWNERS").read_text().splitlines()
    patterns = [line.split()[0] for line in lines if line and not line.startswith("#")]
    assert patterns
    for pattern in patterns:
        assert (ROOT / pattern.strip("/")).exists(), pattern


@pytest.mark.parametrize("name", ["bug", "feature", "service"])
def test_issue_forms_ask_each_question_once(name: str) -> None:
    form = load(ROOT / ".github" / "ISSUE_TEMPLATE" / f"{name}.yml")
    assert form["name"]
    assert form["description"]
    ids = [field["id"] for field in form["body"] if field["type"] != "markdown"]
    assert len(ids) == len(set(ids)) >= 3
    assert any(field.get("validations", {}).get("required") for field in form["body"])


# Tools agree


def test_editors_and_ruff_agree() -> None:
    sections = dict(
        re.findall(r"^\[([^\]]+)\]\n((?:[^\[\n].*\n)*)", (ROOT / ".editorconfig").read_text(), re.M)
    )
    assert f"max_line_length = {PROJECT['tool']['ruff']['line-length']}\n" in sections["*.{py,pyi}"]
    assert "indent_style = tab" in sections["Makefile"]


def test_hooks_run_what_the_lock_file_holds() -> None:
    (repository,) = load(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local", "a second list of versions would fall behind"
    locked = (ROOT / "uv.lock").read_text()
    programs = {hook["entry"].split()[0].removeprefix(".venv/bin/") for hook in repository["hooks"]}
    assert programs == {"ruff", "codespell", "uv", "mypy"}
    for program in programs - {"uv"}:
        assert f'name = "{program}"' in locked


# Releases


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "airflow_provider_schedulerx").mkdir()
    (tmp_path / "airflow_provider_schedulerx" / "__init__.py").write_text('__version__ = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text(
        "# Changelog\n\n## 1.2.3 (2026-12-01)\n\n- All.\n\n## 1.2.2 (2026-11-01)\n"
    )
    return tmp_path


def test_a_tag_that_equals_version_and_changelog_is_released(project: Path) -> None:
    assert check_release.problems("v1.2.3", project) == []


@pytest.mark.parametrize("tag", ["1.2.3", "v1.2.2", "v1.2.3rc1", "v1.2.30", "", "main"])
def test_any_other_tag_is_not(project: Path, tag: str) -> None:
    (problem,) = check_release.problems(tag, project)
    assert "expected v1.2.3" in problem


@pytest.mark.parametrize(
    "heading", ["## 1.2.3 (unreleased)", "## 1.2.30 (2026-12-01)", "### 1.2.3 (2026-12-01)"]
)
def test_a_version_without_a_day_in_the_changelog_is_not(project: Path, heading: str) -> None:
    (project / "CHANGELOG.md").write_text(f"# Changelog\n\n{heading}\n")
    (problem,) = check_release.problems("v1.2.3", project)
    assert "## 1.2.3 (YYYY-MM-DD)" in problem


def test_the_script_fails_with_the_reason() -> None:
    command = [sys.executable, str(ROOT / "dev" / "check_release.py"), "v999"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "the tag is v999" in done.stderr


@pytest.mark.parametrize("file", sorted((ROOT / "example_dags").glob("*.py")), ids=lambda file: file.name)
def test_an_example_says_when_to_use_it_and_imports_as_the_docs_do(file: Path) -> None:
    code = file.read_text()
    assert code.startswith('"""Use this ')
    assert "from airflow.providers.common.compat.sdk import DAG" in code
    assert "import airflow.sdk" not in code


def test_a_port_for_a_server_is_none_that_outgoing_connections_get() -> None:
    """They would take it while the server starts."""
    outgoing = Path("/proc/sys/net/ipv4/ip_local_port_range")
    if not outgoing.exists():
        pytest.skip("only Linux says which these are")
    assert max(free_port() for _ in range(20)) < int(outgoing.read_text().split()[0])
