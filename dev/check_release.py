"""Whether a tag may be released: ``python dev/check_release.py v0.1.0``.

The tag is ``v`` and the version of the package, and the changelog has a dated section on it. Needs nothing but Python.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def problems(tag: str, root: Path = ROOT) -> list[str]:
    """Return what keeps the tag from being released; nothing, if all is well."""
    text = (root / "airflow_provider_schedulerx" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"', text, re.MULTILINE)
    version = found[1] if found else "none"
    if tag != f"v{version}":
        return [f"the tag is {tag}, but the package's version is {version}: expected v{version}"]
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    if not re.search(rf"^## {re.escape(version)} \(\d{{4}}-\d{{2}}-\d{{2}}\)$", changelog, re.MULTILINE):
        return [f"CHANGELOG.md has no section with the date of the release: ## {version} (YYYY-MM-DD)"]
    return []


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    sys.exit("\n".join(problems(sys.argv[1])) or None)
