"""What importing operators, sensors, triggers and hooks adds to the Airflow imports of a DAG file.

python -m benchmarks.import_cost
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile

ROUNDS = 15
BARE = (
    "from airflow.providers.common.compat.sdk import "
    "DAG, BaseHook, BaseOperator, BaseOperatorLink, BaseSensorOperator, PokeReturnValue, XCom, conf; "
    "import airflow.triggers.base"
)
OURS = ", ".join(
    f"airflow_provider_schedulerx.{layer}.schedulerx"
    for layer in ("operators", "sensors", "triggers", "hooks")
)
PROGRAM = f"""
import time
began = time.perf_counter()
{BARE}
middle = time.perf_counter()
import {OURS}
print(middle - began, time.perf_counter() - middle)
"""


def main() -> None:
    bare, ours = [], []
    # With byte code, as in any installation, whatever this shell says of it.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as home:
        for number in range(ROUNDS + 1):
            done = subprocess.run(
                [sys.executable, "-c", PROGRAM],
                env={**env, "AIRFLOW_HOME": home, "PYTHONPYCACHEPREFIX": f"{home}/byte-code"},
                capture_output=True,
                text=True,
                check=True,
            )
            if number:  # the first one writes byte code
                first, second = map(float, done.stdout.split()[-2:])
                bare.append(first)
                ours.append(second)
    airflow, provider = statistics.median(bare), statistics.median(ours)
    print(
        f"Airflow's own imports {airflow * 1000:.0f} ms; ours on top {provider * 1000:.1f} ms (target: at most 10)"
    )
    print(f"ratio: {provider / airflow:.3f} of Airflow's own")


if __name__ == "__main__":
    main()
