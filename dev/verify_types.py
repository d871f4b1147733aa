"""How much of the public interface has a type that every type checker reads alike, by pyright: ``--at-least PERCENT``.

Classes whose base comes from a package without ``py.typed`` count as complete, as long as nothing else is wrong with
them: pyright takes such a base for unknown, and Airflow's ``common.compat`` is such a package.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

PACKAGE = "airflow_provider_schedulerx"
ROOT = Path(__file__).resolve().parent.parent
#: What such a base causes at the class, and then wherever the class, or a module that holds one, is named.
_BY_THE_BASE = re.compile(
    r"Type of (meta|base )class unknown"
    r'|(Module|Type of base class) "[\w.]+" is partially unknown'
    r'|.* is partially unknown\s+(Parameter|Return) type is "(type\[)?[A-Z]\w*( \| [A-Z]\w*)*\]?"'
)


def examine() -> list[dict[str, Any]]:
    """Return what pyright says about each symbol of the package."""
    # By PATH it finds this environment: it has no option for that which --verifytypes heeds.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--verifytypes", PACKAGE, "--ignoreexternal", "--outputjson"],
        cwd=ROOT,
        env={**os.environ, "PATH": path, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    symbols: list[dict[str, Any]] = json.loads(done.stdout)["typeCompleteness"]["symbols"]
    if not symbols:
        raise SystemExit(f"pyright found nothing in {PACKAGE}: {done.stdout[:1000]}")
    return symbols


def complaints(symbol: dict[str, Any]) -> list[str]:
    """Return a line for each thing that makes the type of a symbol incomplete."""
    lines = []
    for each in symbol["diagnostics"]:
        if each["severity"] == "error" and not _BY_THE_BASE.fullmatch(each["message"]):
            place = ""
            if "range" in each:
                place = f"{os.path.relpath(each['file'], ROOT)}:{each['range']['start']['line'] + 1}: "
            message = "; ".join(line.strip() for line in each["message"].splitlines())
            lines.append(f"{place}{symbol['name']}: {message}")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--at-least", type=float, default=100, help="in percent (default: %(default)s)")
    at_least = parser.parse_args().at_least
    symbols = [symbol for symbol in examine() if symbol["isExported"]]
    incomplete = [lines for symbol in symbols if (lines := complaints(symbol))]
    share = 100 * (1 - len(incomplete) / len(symbols))
    good = share >= at_least
    if not good:
        print(*(line for lines in incomplete for line in lines), sep="\n")
    print(f"{share:.1f} % of {len(symbols)} public symbols have a complete type (at least {at_least:g} %)")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
