"""How calls grow: with the number of workflows, not with that of runs.

The emulator lists the 300 newest runs of a workflow here; runs beyond that have to be asked for one by one, which the
last line shows.

python -m benchmarks.growth
"""

from __future__ import annotations

import time

from benchmarks.calls import ours

_SHAPES = ((10, 20), (100, 20), (1000, 20), (5000, 20), (1000, 5), (1000, 10), (1000, 40), (5000, 10))


def main() -> None:
    first = None
    for runs, workflows in _SHAPES:
        began = time.process_time()
        result = ours(runs, workflows)
        first = first or result
        print(
            f"{runs:5} runs of {workflows:2} workflows: {result.total:5} calls "
            f"({result.total / first.total:4.1f} x the first line), busiest minute "
            f"{result.busiest_minute:3}, delay p95 {result.p95_delay:5.1f} s, CPU {time.process_time() - began:.1f} s"
        )


if __name__ == "__main__":
    main()
