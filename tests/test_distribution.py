"""What is uploaded to PyPI: built as it will be, and looked into."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_string
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.conftest import ROOT

PACKAGE = "airflow_provider_schedulerx"
#: Names that belong to development, wherever they are.
UNWANTED = (
    "tests/",
    "dev/",
    "benchmarks/",
    "example_dags/",
    "docs/",
    "__pycache__",
    ".pyc",
    ".github",
    "uv.lock",
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist, as for a release."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv is None:
        pytest.skip("uv builds, and is not here")
    folder = tmp_path_factory.mktemp("built")
    subprocess.run([uv, "build", "--quiet", "--out-dir", str(folder), str(ROOT)], check=True)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> zipfile.ZipFile:
    (file,) = built.glob("*.whl")
    return zipfile.ZipFile(file)


@pytest.fixture(scope="module")
def sdist_names(built: Path) -> set[str]:
    (file,) = built.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


def sources() -> set[str]:
    files = (
        file for file in (ROOT / PACKAGE).rglob("*") if file.is_file() and "__pycache__" not in file.parts
    )
    return {str(file.relative_to(ROOT)) for file in files}


def test_the_wheel_holds_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert f"{PACKAGE}/py.typed" in names
    assert f"{PACKAGE}/emulator/default.yaml" in names
    assert names == sources()


def test_the_sdist_can_be_built_from_and_holds_no_development(sdist_names: set[str]) -> None:
    assert {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "PKG-INFO"} <= sdist_names
    assert sources() <= sdist_names
    assert not [name for name in sdist_names if any(unwanted in name for unwanted in UNWANTED)]


def test_the_metadata_say_what_is_needed(wheel: zipfile.ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = message_from_string(wheel.read(name).decode())
    assert metadata["Name"] == "airflow-provider-schedulerx"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    needed = {Requirement(line) for line in metadata.get_all("Requires-Dist", [])}
    assert {each.name for each in needed if each.marker is None} == {
        "apache-airflow",
        "apache-airflow-providers-common-compat",
        "alibabacloud-credentials",
        "alibabacloud-tea",
        "alibabacloud-tea-openapi",
        "aiohttp",
        "asgiref",
        "certifi",
        "cryptography",
        "requests",
        "urllib3",
        "yarl",
    }
    assert set(metadata.get_all("Provides-Extra", [])) == {"emulator", "openlineage"}
    upper = [
        str(each) for each in needed if {"<", "<=", "==", "~="} & {one.operator for one in each.specifier}
    ]
    assert not upper, "an upper bound keeps users from security fixes"
    (points,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "[apache_airflow_provider]" in wheel.read(points).decode()
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())


def test_twine_finds_nothing_wrong(built: Path) -> None:
    pytest.importorskip("twine")
    done = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *map(str, built.glob("*.[tw]*"))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("PASSED") == 2
