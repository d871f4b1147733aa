"""A thousand deferred task instances in the database of a real Airflow, without a thousand worker starts.

What the scheduler and the workers would do before a triggerer has anything to do is done here, straight in
the database; the triggerer that takes the triggers up, and what it reports, are real.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from dev.harness.stack import AirflowStack

DAG_FILE = """
from datetime import datetime
from airflow.providers.common.compat.sdk import DAG
from airflow.providers.standard.operators.empty import EmptyOperator

with DAG("crowd", schedule=None, start_date=datetime(2024, 1, 1), catchup=False):
    EmptyOperator.partial(task_id="run").expand(doc=[str(n) for n in range({count})])
"""

_DEFER = """
import json, sys
from airflow.models.dagrun import DagRun
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, TaskInstanceState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from airflow._shared.timezones import timezone

triggers = json.load(sys.stdin)
with create_session() as session:
    dag = SerializedDagModel.get_dag("crowd", session=session) if hasattr(SerializedDagModel, "get_dag") else None
    dag.create_dagrun(
        run_id="crowd", run_after=timezone.utcnow(), run_type=DagRunType.MANUAL,
        triggered_by=DagRunTriggeredByType.TEST, state=DagRunState.RUNNING, session=session,
    )
    session.flush()
    instances = session.query(TaskInstance).filter_by(dag_id="crowd", run_id="crowd").order_by(TaskInstance.map_index).all()
    assert len(instances) == len(triggers), (len(instances), len(triggers))
    for instance, (path, arguments) in zip(instances, triggers):
        trigger = Trigger(classpath=path, kwargs=arguments)
        session.add(trigger)
        session.flush()
        instance.trigger_id = trigger.id
        instance.state = TaskInstanceState.DEFERRED
        instance.next_method = "execute_complete"
        instance.next_kwargs = {}
        instance.try_number = 1
        instance.start_date = timezone.utcnow()
print("deferred", len(triggers))
"""

_EVENTS = """
import json
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from airflow.serialization.serialized_objects import BaseSerialization

with create_session() as session:
    rows = session.query(TaskInstance.map_index, TaskInstance.state, TaskInstance.next_kwargs).filter_by(dag_id="crowd")
    result = []
    for map_index, state, kwargs in rows.order_by(TaskInstance.map_index):
        if isinstance(kwargs, dict) and "__type" in kwargs:
            kwargs = BaseSerialization.deserialize(kwargs)
        result.append([map_index, str(state), (kwargs or {}).get("event")])
print("EVENTS " + json.dumps(result))
"""


def defer_crowd(stack: AirflowStack, dags: Path, triggers: list[tuple[str, dict[str, Any]]]) -> None:
    """Put deferred task instances, one for each trigger, into the database."""
    dags.mkdir(parents=True, exist_ok=True)
    (dags / "crowd.py").write_text(DAG_FILE.format(count=len(triggers)))
    stack.airflow("db", "migrate")
    stack.airflow("dags", "reserialize")
    _run(stack, _DEFER, json.dumps(triggers))


def events(stack: AirflowStack) -> list[tuple[int, str, Any]]:
    """(map index, state, event) of each task instance, as the triggerer has left it in the database."""
    printed = _run(stack, _EVENTS, "")
    line = next(line for line in printed.splitlines() if line.startswith("EVENTS "))
    return [tuple(row) for row in json.loads(line.removeprefix("EVENTS "))]


def _run(stack: AirflowStack, program: str, given: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=stack.env,
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stdout[-2000:] + done.stderr[-4000:])
    return done.stdout
