"""What a snapshot of a run costs: building it in the event loop, and all of them with many waiting runs.

python -m benchmarks.run_page
"""

from __future__ import annotations

import json
import time

from airflow_provider_schedulerx.api.models import (
    Edge,
    JobInstanceStatus,
    WorkflowInstance,
    WorkflowInstanceNode,
    WorkflowInstanceStatus,
)
from airflow_provider_schedulerx.run_page.queue import MIN_PAUSE_OF_ALL
from airflow_provider_schedulerx.run_page.snapshot import Snapshot
from airflow_provider_schedulerx.run_page.writer import masked
from airflow_provider_schedulerx.version_compat import mask_secret

_REPEAT = 20


def instance(nodes: int) -> WorkflowInstance:
    return WorkflowInstance(
        101,
        36508287844,
        WorkflowInstanceStatus.RUNNING,
        start_time="2026-11-25 05:41:38",
        nodes=tuple(
            WorkflowInstanceNode(
                job_id=number,
                job_instance_id=number + 9_000,
                job_name=f"node number {number}",
                status=JobInstanceStatus.SUCCESS,
                start_time="2026-11-25 05:41:38",
                end_time="2026-11-25 05:42:38",
                result="1188 rows loaded, 12 dropped",
            )
            for number in range(1, nodes + 1)
        ),
        edges=tuple(Edge(number + 9_000, number + 9_001) for number in range(1, nodes)),
    )


def main() -> None:
    for number in range(20):
        mask_secret(f"a-secret-of-some-length-{number}")
    print("nodes  built in     stored bytes  of a core with five a second")
    for nodes in (4, 20, 100, 500):
        run = instance(nodes)
        masked("warm")
        began = time.process_time()
        for _ in range(_REPEAT):
            data = Snapshot.of(run, time.time(), mask=masked).to_json()
        took = (time.process_time() - began) / _REPEAT
        share = took / MIN_PAUSE_OF_ALL
        print(f"{nodes:5}  {took * 1000:7.2f} ms  {len(json.dumps(data)):12,}  {share:.1%}")


if __name__ == "__main__":
    main()
