"""An environment with another version of Airflow, made by uv and kept in ``.venv/releases`` for the next time."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from dev.releases import DRIVERS, RELEASES, TEST

ROOT = Path(__file__).resolve().parent.parent.parent


def python_of(airflow: str) -> Path:
    """Return the interpreter of an environment with this version of Airflow and the provider of this folder.

    It is made as ``noxfile.py`` makes its own, in ten seconds where uv has the packages in its cache.
    """
    folder = ROOT / ".venv" / "releases" / airflow
    python, mark = folder / "bin" / "python", folder / "made-of"
    made_of = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    if not mark.exists() or mark.read_text() != made_of:
        uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
        if uv is None:
            raise FileNotFoundError("uv is not installed: make .venv/ready")
        _run(uv, "venv", "--clear", "--python", _interpreter(RELEASES[airflow].pythons), str(folder))
        install = (uv, "pip", "install", "--python", str(python), f"apache-airflow=={airflow}")
        _run(*install, *DRIVERS, "--exclude-newer", RELEASES[airflow].day)
        _run(*install, "--editable", f"{ROOT}[emulator]", *TEST)
        mark.write_text(made_of)
    return python


def _interpreter(pythons: tuple[str, ...]) -> str:
    """This one, if that version of Airflow supports it; otherwise uv looks for the newest that it does."""
    oldest, newest = (tuple(map(int, version.split("."))) for version in (pythons[0], pythons[-1]))
    return sys.executable if oldest <= sys.version_info[:2] <= newest else pythons[-1]


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
