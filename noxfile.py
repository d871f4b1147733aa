"""Every version of Airflow that is supported, each in an environment of its own: ``make matrix``.

    nox --list
    nox -s "unit(airflow='2.11.2', python='3.12')"
    nox -s "e2e(airflow='2.11.2')"

Airflow is installed as its documentation says: first by itself with what was current at its release (that is what
its constraints files hold, which not every network can reach), then this provider, and whatever it needs newer.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nox

# nox does not look for modules beside this file.
sys.path.insert(0, str(Path(__file__).parent))
from dev.releases import DRIVERS, NEWEST, RELEASES, TEST

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv"
nox.options.error_on_missing_interpreters = False

HERE = Path(__file__).parent

#: The oldest and the newest, for what would take too long on each.
ENDS = (next(iter(RELEASES)), NEWEST)

#: Shortly after the newest of the oldest that pyproject.toml allows.
DAY_OF_LOWEST = "2026-03-05"

#: Two processes, and the tests of a file in one of them, since they share an emulator.
PYTEST = ("python", "-m", "pytest", "-p", "no:cacheprovider", "-n", "2", "--dist", "loadfile")


def install_airflow(session: nox.Session, airflow: str, day: str, *others: str) -> None:
    session.install(f"apache-airflow=={airflow}", *others, "--exclude-newer", day)


@nox.session
@nox.parametrize(
    ("airflow", "python"),
    [(airflow, python) for airflow, release in RELEASES.items() for python in release.pythons],
)
def unit(session: nox.Session, airflow: str) -> None:
    """All tests that need no running Airflow, among them those with ``dag.test()``."""
    install_airflow(session, airflow, RELEASES[airflow].day)
    session.install(f"apache-airflow=={airflow}", ".[emulator]", *TEST)
    session.run(*PYTEST, "-m", "not airflow", *session.posargs)


@nox.session(python="3.11")
def lowest(session: nox.Session) -> None:
    """The same with the oldest of everything that pyproject.toml allows, and the oldest Airflow."""
    session.install(
        ".[emulator,openlineage]", "--resolution", "lowest-direct", "--exclude-newer", DAY_OF_LOWEST
    )
    # The official SDK, to compare with, asks for a newer tea-openapi than ours, but works with it.
    (sdk,) = (name for name in TEST if name.startswith("alibabacloud-schedulerx"))
    session.install(*(name for name in TEST if name != sdk))
    session.install("--no-deps", sdk)
    session.run("uv", "pip", "list", external=True)
    session.run(*PYTEST, "-m", "not airflow", *session.posargs)


@nox.session(python="3.11")
@nox.parametrize("airflow", ENDS)
def demo(session: nox.Session, airflow: str) -> None:
    """``make demo``: the example DAGs under a real Airflow."""
    install_airflow(session, airflow, RELEASES[airflow].day, *DRIVERS)
    session.install(f"apache-airflow=={airflow}", ".[emulator]")
    session.run("python", "-m", "dev.demo")


@nox.session(python="3.11")
@nox.parametrize("airflow", ENDS)
def e2e(session: nox.Session, airflow: str) -> None:
    """All tests that run a real Airflow: scheduler, triggerer, API server."""
    install_airflow(session, airflow, RELEASES[airflow].day, *DRIVERS)
    session.install(f"apache-airflow=={airflow}", ".[emulator]", *TEST)
    session.run(*PYTEST, "-m", "airflow", *session.posargs)


@nox.session(python="3.11")
@nox.parametrize("airflow", [airflow for airflow in RELEASES if airflow not in ENDS])
def retries(session: nox.Session, airflow: str) -> None:
    """A failed run and its retry, deferred and not, on the versions between: they resume a retry differently."""
    install_airflow(session, airflow, RELEASES[airflow].day, *DRIVERS)
    session.install(f"apache-airflow=={airflow}", ".[emulator]", *TEST)
    session.run(*PYTEST, "tests/system/test_real_retries.py", *session.posargs)


#: The constraints of an Airflow. The environment may name copies of them, for networks that cannot reach these:
#: AIRFLOW_CONSTRAINTS="/some/where/constraints-{airflow}.txt".
CONSTRAINTS = "https://raw.githubusercontent.com/apache/airflow/constraints-{airflow}/constraints-3.11.txt"


def install_wheel(session: nox.Session, extra: str = "", airflow: str = NEWEST) -> None:
    """Build the wheel, and install it with the constraints of an Airflow."""
    folder = Path(session.create_tmp()) / "dist"
    session.run("uv", "build", "--wheel", "--clear", "--out-dir", str(folder), str(HERE), external=True)
    (wheel,) = folder.glob("*.whl")
    constraints = os.environ.get("AIRFLOW_CONSTRAINTS", CONSTRAINTS).format(airflow=airflow)
    ours = f"{wheel}[{extra}]" if extra else str(wheel)
    session.install(f"apache-airflow=={airflow}", ours, "--constraint", constraints)


@nox.session(python="3.11")
def package(session: nox.Session) -> None:
    """The wheel goes with the constraints of Airflow. What is in it is checked by tests/test_distribution.py."""
    install_wheel(session)
    session.run("uv", "pip", "check", external=True)
    session.run("airflow", "providers", "get", "airflow-provider-schedulerx")


@nox.session(python="3.11")
@nox.parametrize("airflow", ENDS)
def tutorial(session: nox.Session, airflow: str) -> None:
    """The tutorial, followed as it is printed, with the wheel and nothing of this checkout."""
    install_wheel(session, "emulator", airflow)
    session.run("python", "-m", "dev.follow_tutorial")


@nox.session(python="3.11")
def audit(session: nox.Session) -> None:
    """No release that the wheel brings has a known vulnerability. Fails where that cannot be asked."""
    install_wheel(session)
    frozen = session.run("uv", "pip", "freeze", external=True, silent=True) or ""
    others = [line for line in frozen.splitlines() if "==" in line]  # ours has a path
    requirements = Path(session.create_tmp()) / "requirements.txt"
    requirements.write_text("\n".join(others))
    session.install("pip-audit")
    session.run(
        "pip-audit", "--strict", "--disable-pip", "--no-deps", "-r", str(requirements), *session.posargs
    )
