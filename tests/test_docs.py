"""The documentation builds without a warning, and every code block of README and guides does what it says."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from airflow_provider_schedulerx.api.connection.credentials import CREDENTIAL_TYPES
from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings
from airflow_provider_schedulerx.api.wire.refusals import AUTHENTICATION_CODES, ENDPOINT_CODES
from airflow_provider_schedulerx.connection_form import CONNECTION_FIELDS
from airflow_provider_schedulerx.emulator import definitions
from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from airflow_provider_schedulerx.emulator.yaml_file import DefinitionError
from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook
from dev.harness.rest import IS_AIRFLOW_2
from tests.built_site import broken_links
from tests.conftest import ROOT

#: Of the English edition; tests/test_chinese.py holds the blocks of the other to be the same.
PAGES = [
    ROOT / "README.md",
    *sorted(page for page in (ROOT / "docs").glob("*.md") if not page.name.endswith(".zh.md")),
]


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    language: str
    title: str
    code: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks() -> list[Block]:
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in re.finditer(
            r"^```(\w*)(?: title=\"([^\"]+)\")?\n(.*?)^```$", text, re.MULTILINE | re.DOTALL
        ):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(page.name, line, match[1], match[2] or "", match[3]))
    return found


def of(*languages: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    chosen = [block for block in blocks() if block.language in languages]
    return pytest.mark.parametrize("block", chosen, ids=map(str, chosen))


def test_every_block_is_of_a_kind_that_is_tested() -> None:
    assert len(blocks()) >= 12
    for page in PAGES:
        assert page.read_text().count("```") == 2 * sum(block.page == page.name for block in blocks()), (
            page.name
        )
    # "text" is output, and "mermaid" a diagram, which the browser test draws.
    assert {block.language for block in blocks()} <= {
        *("python", "json", "yaml", "toml", "bash", "text", "mermaid")
    }


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database of Airflow, for copies of it: Airflow takes seconds to make one."""
    home = tmp_path_factory.mktemp("airflow")
    run([sys.executable, "-m", "airflow", "db", "migrate"], environment_of(home))
    return home / "airflow.db"


@pytest.fixture
def environment(database: Path, tmp_path: Path) -> dict[str, str]:
    """The environment of an Airflow that has seen nothing yet, so that each block runs by itself."""
    home = tmp_path / "airflow"
    home.mkdir()
    shutil.copy(database, home)
    return environment_of(home)


def environment_of(home: Path) -> dict[str, str]:
    return {**os.environ, "AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}


def run(command: list[str], env: dict[str, str], cwd: Path | None = None) -> str:
    done = subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


RUN_DAGS = """
import sys
from airflow.models.dagbag import DagBag
for file in sys.argv[1:]:
    bag = DagBag(file)
    assert not bag.import_errors, bag.import_errors
    assert bag.dags, file
    for dag in bag.dags.values():
        run = dag.test()
        assert run.state == "success", (file, dag.dag_id, run.state)
"""


ON_AIRFLOW_3 = pytest.mark.skipif(IS_AIRFLOW_2, reason="README and guides are written for Airflow 3")


DAGS = [block for block in blocks() if block.language == "python" and not block.title]


@ON_AIRFLOW_3
@pytest.mark.airflow
@pytest.mark.parametrize("block", DAGS, ids=str)
def test_a_dag_runs_and_succeeds(block: Block, environment: dict[str, str]) -> None:
    dags = Path(environment["AIRFLOW_HOME"]) / "dags"
    dags.mkdir()
    (dags / "block.py").write_text(block.code)
    with EmulatorProcess("--speed", "1000") as local:
        environment["AIRFLOW_CONN_SCHEDULERX_DEFAULT"] = json.dumps(local.connection())
        run([sys.executable, "-c", RUN_DAGS, str(dags / "block.py")], environment)
        counted = local.counters()
        assert counted["starts"] or counted["job_starts"], "a DAG of this provider starts something"


@pytest.mark.airflow
@pytest.mark.parametrize("block", [block for block in blocks() if block.title.startswith("test_")], ids=str)
def test_a_test_passes_in_an_empty_project(block: Block, tmp_path: Path) -> None:
    """As a reader has it: no database, no AIRFLOW_HOME yet, nothing else in the folder."""
    project = tmp_path / "project"
    project.mkdir()
    (project / block.title).write_text(block.code)
    unwanted = ("AIRFLOW", "PYTEST")
    env = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    env |= {"AIRFLOW_HOME": str(tmp_path / "home"), "HOME": str(tmp_path)}
    out = run([sys.executable, "-m", "pytest", "-q", block.title], env, project)
    assert re.search(r"^[1-9][0-9]* passed", out, re.MULTILINE), out
    assert not (tmp_path / "home" / "airflow.db").exists(), "the configured database is not touched"


POLICIES = [block for block in blocks() if block.language == "json" and "Statement" in block.code]
CONNECTIONS = [block for block in blocks() if block.language == "json" and block not in POLICIES]


@pytest.mark.parametrize("block", POLICIES, ids=str)
def test_policy(block: Block) -> None:
    from airflow_provider_schedulerx.api.wire import calls

    (statement,) = json.loads(block.code)["Statement"]
    if "Principal" in statement:  # of a role: who may assume it
        assert statement["Action"] == "sts:AssumeRole"
        wanted = statement["Principal"].get("Federated", [])
        wanted += [
            it for it in [statement.get("Condition", {}).get("StringEquals", {}).get("sts:ExternalId")] if it
        ]
        for each in wanted:
            assert any(f'"{each}"' in connection.code for connection in CONNECTIONS)
        return
    known = {
        operation.ram_action for operation in vars(calls).values() if isinstance(operation, calls.Operation)
    }
    assert set(statement["Action"]) <= known
    assert "edas:ManageSchedulerxWorkflowRun" in statement["Action"]


@pytest.fixture(scope="module")
def cloud() -> Iterator[EmulatorProcess]:
    with EmulatorProcess("--tls", "--token-port", "0", "--metadata-port", "0") as cloud:
        yield cloud


def as_in_the_emulator(connection: dict, cloud: EmulatorProcess, tmp_path: Path) -> dict:
    """The documented connection, to servers of this machine that know what it names."""
    extra = connection["extra"]
    secret = connection.get("password", extra.get("access_key_secret", "x"))
    key = connection.get("login", extra.get("access_key_id", "by-token"))
    cloud.add_account(
        access_key_id=key,
        access_key_secret=secret,
        security_token=extra.get("security_token"),
        bearer_token=extra.get("bearer_token"),
    )
    cloud.add_workflows(
        {"namespaces": [{"id": extra["namespace"], "groups": [extra["group_id"]]}], "workflows": []}
    )
    cloud.set_metadata(mode="both", role_name=extra.get("role_name", "airflow"))
    if "role_arn" in extra:
        cloud.add_role(
            arn=extra["role_arn"],
            trusted=[key],
            external_id=extra.get("external_id"),
            oidc_provider_arn=extra.get("oidc_provider_arn"),
        )
        extra["sts_endpoint"] = cloud.token_service
    if "oidc_token_file_path" in extra:
        file = tmp_path / "token"
        file.write_text(cloud.oidc_token())
        extra["oidc_token_file_path"] = str(file)
    if "credentials_uri" in extra:
        extra["credentials_uri"] = f"{cloud.metadata}/latest/meta-data/ram/security-credentials/airflow"
    extra["ca_file"] = cloud.ca_file
    return {**connection, "host": cloud.endpoint}


@pytest.mark.parametrize("block", CONNECTIONS, ids=str)
def test_connection(
    block: Block,
    cloud: EmulatorProcess,
    connect: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from alibabacloud_credentials.utils import auth_util

    # As on a machine that has them: the SDK reads the first two when it is imported.
    monkeypatch.setattr(auth_util, "environment_access_key_id", "emulator")
    monkeypatch.setattr(auth_util, "environment_access_key_secret", "emulator-secret")
    monkeypatch.setenv("SSL_CERT_FILE", cloud.token_ca_file)
    monkeypatch.setenv("HTTP_PROXY", cloud.metadata)
    connect(as_in_the_emulator(json.loads(block.code), cloud, tmp_path))
    works, message = SchedulerXHook().test_connection()
    assert works, message
    assert "not used" not in message


def test_every_type_of_credential_has_a_section_with_an_example() -> None:
    # Those in English: a name has one section, which the Chinese page has as well.
    pages = [page for page in sorted((ROOT / "docs").glob("connect-*.md")) if ".zh." not in page.name]
    sections = [
        section for page in pages for section in re.split(r"^#+ ", page.read_text(), flags=re.MULTILINE)
    ]
    for name in CREDENTIAL_TYPES:
        (section,) = (each for each in sections if re.match(rf".*`{name}`", each))
        example = json.loads(section.partition("```json\n")[2].partition("```")[0])
        fields = {name: example[name] for name in ("login", "password", "extra") if name in example}
        assert SchedulerXSettings.from_connection(**fields).credential.credential_type == name


@of("yaml")
def test_yaml(block: Block, tmp_path: Path) -> None:
    if block.title:  # the file of another program, such as a CI service
        assert yaml.safe_load(block.code)
        return
    file = tmp_path / "workflows.yaml"
    file.write_text(block.code)
    assert definitions.load(file).workflows.keys() == {
        each["id"] for each in yaml.safe_load(block.code)["workflows"]
    }


@of("toml")
def test_toml(block: Block) -> None:
    assert tomllib.loads(block.code)


@ON_AIRFLOW_3
@pytest.mark.airflow
@of("bash")
def test_commands(block: Block, environment: dict[str, str], connect: Callable[..., None]) -> None:
    if block.code.startswith("export "):
        out = run(["bash", "-c", block.code + "echo $AIRFLOW_CONN_SCHEDULERX_DEFAULT"], dict(os.environ))
        assert json.loads(out)["conn_type"] == "schedulerx"
        return
    if block.title:  # tests/system/test_tutorial.py follows the tutorial
        return
    for line in block.code.splitlines():
        command = shlex.split(line, comments=True)
        if command[0] == "make":
            # Too long for here: the CI runs them.
            assert f"\n{command[1]}: " in (ROOT / "Makefile").read_text()
            assert command[1] in (ROOT / ".ci" / "run").read_text()
        elif command[:2] == ["pip", "install"]:
            assert all(version(name.partition("[")[0]) for name in command[2:])
        elif command[:2] == ["airflow", "providers"]:
            assert version(command[3]) in run([sys.executable, "-m", *command], environment)
        elif command[:2] == ["airflow", "schedulerx"]:
            with EmulatorProcess() as local:
                connect(local.connection())
                started = str(SchedulerXHook().execute_workflow(101))
                env = {**environment, "AIRFLOW_CONN_SCHEDULERX_DEFAULT": json.dumps(local.connection())}
                command[3:] = [started if each.startswith("365") else each for each in command[3:]]
                assert run([sys.executable, "-m", *command], env)
        else:
            assert command[:3] == ["python", "-m", "airflow_provider_schedulerx.emulator"], f"{block}: {line}"
            # On a free port: somebody may have one on the documented port.
            command += ["--port", "0"]
            process = subprocess.Popen([sys.executable, *command[1:]], stdout=subprocess.PIPE, text=True)
            try:
                assert process.stdout is not None
                assert "SchedulerX emulator" in process.stdout.readline()
                assert "http://127.0.0.1:" in process.stdout.readline()
                time.sleep(0.2)
            finally:
                process.send_signal(signal.SIGTERM)
                assert process.wait(10) == 0


def test_the_documentation_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "DISABLE_MKDOCS_2_WARNING": "true"}
    out = run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")], env, ROOT
    )
    assert "WARNING" not in out
    for file in (tmp_path / "site").rglob("*.html"):
        # Neither a role nor a field of a docstring is shown as text.
        assert not re.search(
            r":(class|meth|func|mod|attr|data):|:(return|param|raises|ivar)\b", file.read_text()
        ), file
    assert broken_links(tmp_path / "site") == []
    reference = (tmp_path / "site" / "reference" / "index.html").read_text()
    for name in (
        "ExecuteWorkflowOperator",
        "settling_time",
        "SchedulerXAmbiguousError",
        "schedulerx_emulator",
    ):
        assert name in reference


def test_the_start_page_answers_fourteen_questions_with_one_click() -> None:
    page = (ROOT / "docs" / "index.md").read_text()
    answers = re.findall(r"^\| .+\? \| \[[^]]+\]\(([\w-]+\.md)[^)]*\) \|$", page, re.MULTILINE)
    assert len(answers) == len(set(answers)) == 14


def test_the_readme_is_no_copy_of_the_guides() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 110


def test_links_of_the_readme_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", (ROOT / "README.md").read_text()):
        assert (ROOT / target).exists(), target


def test_every_key_of_the_file_of_workflows_is_documented() -> None:
    section = (
        (ROOT / "docs" / "emulator.md").read_text().partition("## The file of workflows")[2].split("\n## ")[0]
    )
    workflow = {"id": 1, "namespace": "n", "group": "g"}
    node = {"name": "a"}
    for thing, file in (
        ("an account", {"accounts": [{"access_key_id": "a", "?": 1}]}),
        ("a namespace", {"namespaces": [{"id": "n", "?": 1}]}),
        ("a workflow", {"workflows": [{**workflow, "nodes": [node], "?": 1}]}),
        ("a job", {"jobs": [{**workflow, "?": 1}]}),
        ("a node", {"workflows": [{**workflow, "nodes": [{**node, "?": 1}]}]}),
    ):
        with pytest.raises(DefinitionError) as error:
            definitions.parse(file)
        table = section.partition(f"| Key of {thing} |")[2].split("\n\n")[0]
        first_cells = re.findall(r"^\| (`[^|]+`) \|", table, re.MULTILINE)
        documented = [key for cell in first_cells for key in re.findall(r"`(\w+)`", cell)]
        assert sorted(documented) == sorted(str(error.value).partition("known are ")[2].split(", ")), thing


def test_every_field_credential_and_code_is_documented() -> None:
    fields = (ROOT / "docs" / "connection-fields.md").read_text()
    for name in (*CONNECTION_FIELDS, *CREDENTIAL_TYPES):
        assert f"`{name}`" in fields, name
    troubleshooting = (ROOT / "docs" / "troubleshooting.md").read_text()
    for code in (*AUTHENTICATION_CODES, *ENDPOINT_CODES):
        assert code in troubleshooting or code.rpartition(".")[2] in troubleshooting, code
