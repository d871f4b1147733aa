"""Makes every picture of the documentation anew: ``make pictures``.

Tests take them in a browser, into a folder of their own. They replace those in docs/images only once all that the pages
show are there; what no page shows is left out. To take those of one file alone:

    DOCS_IMAGES=docs/images python -m pytest tests/system/test_tutorial.py
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
#: Where the tests put what they take.
FOLDER = "DOCS_IMAGES"


def shown() -> set[str]:
    """Names of the pictures that README and guides show."""
    pages = [*ROOT.glob("README*.md"), *(ROOT / "docs").glob("*.md")]
    return {
        name for page in pages for name in re.findall(r"\]\((?:docs/)?images/([^)]+)\)", page.read_text())
    }


def tests() -> list[Path]:
    """The tests that take pictures."""
    return [file for file in sorted((ROOT / "tests").rglob("test_*.py")) if "shoot(" in file.read_text()]


def replace(taken: Path) -> list[str]:
    """Replace the documentation's pictures by those in a folder.

    :return: what is shown and was not taken; then nothing is replaced.
    """
    wanted = shown()
    if missing := sorted(name for name in wanted if not (taken / name).exists()):
        return missing
    for picture in IMAGES.iterdir():
        picture.unlink()
    for name in wanted:
        shutil.copy(taken / name, IMAGES)
    return []


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="pictures-") as folder:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *map(str, tests())],
            cwd=ROOT,
            env={**os.environ, FOLDER: folder},
            check=False,
        )
        if done.returncode:
            print("A test failed, so no picture is replaced.")
            return done.returncode
        if missing := replace(Path(folder)):
            print(f"Not taken, so no picture is replaced: {', '.join(missing)}. Is Chromium installed?")
            return 1
    print(f"{len(shown())} pictures in {IMAGES.relative_to(ROOT)} are new.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
