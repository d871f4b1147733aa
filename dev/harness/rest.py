"""Airflow's REST API, as far as tests and demos need it: that of Airflow 3, and that of 2."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

from dev.harness.waiting import StackError, wait_for

#: Major and minor number of the Airflow here.
AIRFLOW = tuple(int(part) for part in version("apache-airflow").split(".")[:2])
IS_AIRFLOW_2 = AIRFLOW < (3, 0)
HAS_TASK_STATE_STORE = AIRFLOW >= (3, 3)

_END_STATES = ("success", "failed")


class RestApi:
    """:param url: of the API server."""

    #: What the path of every endpoint begins with, what is to be said of a DAG run that has no logical date, and
    #: how an XCom value is asked for as it is.
    _PREFIX = "/api/v2"
    _NO_DATE: Mapping[str, Any] = {"logical_date": None}
    _AS_IT_IS = "deserialize=true"

    def __init__(self, url: str) -> None:
        self.url = url
        self._authorization = ""

    def _log_in(self) -> None:
        self._authorization = f"Bearer {self._call('GET', '/auth/token')['access_token']}"

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """Call the REST API, below ``/api/v2``."""
        return self._call(method, self._PREFIX + path, body)

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None, timeout: float = 300) -> str:
        """Start a DAG run, as soon as the DAG is known. :return: its run id."""

        def try_it() -> str | None:
            try:
                run = self.api("POST", f"/dags/{dag_id}/dagRuns", {**self._NO_DATE, "conf": conf or {}})
            except urllib.error.HTTPError as error:
                # 404: not parsed yet. 500: SQLite was locked, and nothing was done.
                if error.code in (404, 500):
                    return None
                raise
            return str(run["dag_run_id"])

        try:
            return wait_for(f"DAG {dag_id} is parsed", try_it, timeout, pause=1.0)
        except StackError as error:
            found = self.api("GET", "/importErrors")["import_errors"]
            raise StackError(f"{error}; {[each['stack_trace'] for each in found]}") from None

    def dag_run_state(self, dag_id: str, run_id: str) -> str:
        return str(self.api("GET", f"/dags/{dag_id}/dagRuns/{_quoted(run_id)}")["state"])

    def wait_for_run(self, dag_id: str, run_id: str, timeout: float = 400) -> str:
        """Wait until a DAG run has ended. :return: its state."""

        def ended() -> str | None:
            state = self.dag_run_state(dag_id, run_id)
            return state if state in _END_STATES else None

        return wait_for(f"DAG run {dag_id} {run_id} has ended", ended, timeout)

    def task(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
        task: dict[str, Any] = self.api("GET", self._task_path(dag_id, run_id, task_id))
        return task

    def task_instances(self, dag_id: str, run_id: str) -> dict[tuple[str, int], str]:
        """(task id, map index) -> state, of all task instances of a DAG run."""
        path = self._tasks_path(dag_id, run_id)
        return {
            (each["task_id"], each["map_index"]): str(each["state"])
            for each in self._pages(path, "task_instances")
        }

    def xcoms(self, dag_id: str, run_id: str, key: str) -> dict[tuple[str, int], Any]:
        """(task id, map index) -> value, of all XComs of a DAG run that have a key."""
        path = self._tasks_path(dag_id, run_id)
        found = {}
        for each in self._pages(f"{path}/~/xcomEntries", "xcom_entries", f"&xcom_key={key}"):
            index = each["map_index"]
            entry = f"{path}/{each['task_id']}/xcomEntries/{key}?{self._AS_IT_IS}&map_index={index}"
            found[each["task_id"], index] = self.api("GET", entry)["value"]
        return found

    def _pages(self, path: str, key: str, query: str = "") -> Iterator[dict[str, Any]]:
        offset = 0
        while True:
            page = self.api("GET", f"{path}?limit=100&offset={offset}{query}")
            yield from page[key]
            offset += len(page[key])
            if offset >= page["total_entries"] or not page[key]:
                return

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str) -> Any:
        """An XCom value, or None."""
        path = f"{self._task_path(dag_id, run_id, task_id)}/xcomEntries/{key}?{self._AS_IT_IS}"
        try:
            return self.api("GET", path)["value"]
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    def links(self, dag_id: str, run_id: str, task_id: str) -> dict[str, str]:
        """Extra links: name -> URL."""
        path = f"{self._task_path(dag_id, run_id, task_id)}/links"
        links: dict[str, str] = self.api("GET", path)["extra_links"]
        return links

    def log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1) -> str:
        """The task log's events, one a line."""
        path = f"{self._task_path(dag_id, run_id, task_id)}/logs/{try_number}?full_content=true"
        content = self.api("GET", path)["content"]
        return "\n".join(
            entry["event"]
            + "".join(
                f"\n{detail['exc_type']}: {detail['exc_value']}" for detail in entry.get("error_detail") or []
            )
            if isinstance(entry, dict)
            else str(entry)
            for entry in content
        )

    def clear_task(self, dag_id: str, run_id: str, task_id: str) -> None:
        self._insist(
            "POST",
            f"/dags/{dag_id}/clearTaskInstances",
            {"dry_run": False, "dag_run_id": run_id, "task_ids": [task_id], "only_failed": False},
        )

    def set_task_state(self, dag_id: str, run_id: str, task_id: str, state: str) -> None:
        self._insist("PATCH", self._task_path(dag_id, run_id, task_id), {"new_state": state})

    def _insist(self, method: str, path: str, body: Any) -> None:
        """Change something, again if Airflow fails: its database, SQLite here, may be locked by a busy scheduler."""

        def try_it() -> bool:
            try:
                self.api(method, path, body)
            except urllib.error.HTTPError as error:
                if error.code != 500:
                    raise
                return False
            return True

        wait_for(f"{method} {path} succeeds", try_it, 30, pause=1)

    def _task_path(self, dag_id: str, run_id: str, task_id: str) -> str:
        return f"{self._tasks_path(dag_id, run_id)}/{task_id}"

    def _tasks_path(self, dag_id: str, run_id: str) -> str:
        return f"/dags/{dag_id}/dagRuns/{_quoted(run_id)}/taskInstances"

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        with self._open(method, path, body) as response:
            return json.load(response)

    def _open(self, method: str, path: str, body: Any = None, accept: str = "application/json") -> Any:
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Content-Type": "application/json",
                "Accept": accept,
                **({"Authorization": self._authorization} if self._authorization else {}),
            },
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        return opener.open(request, timeout=60)


class RestApi2(RestApi):
    _PREFIX = "/api/v1"
    _NO_DATE: Mapping[str, Any] = {}
    _AS_IT_IS = "stringify=false"

    def _log_in(self) -> None:
        # The user that dev/harness/stack.py has made.
        self._authorization = f"Basic {base64.b64encode(b'admin:admin').decode()}"

    def links(self, dag_id: str, run_id: str, task_id: str) -> dict[str, str]:
        return dict(self.api("GET", f"{self._task_path(dag_id, run_id, task_id)}/links"))

    def log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1) -> str:
        path = f"{self._task_path(dag_id, run_id, task_id)}/logs/{try_number}?full_content=true"
        with self._open("GET", self._PREFIX + path, accept="text/plain") as response:
            return str(response.read().decode())

    def set_task_state(self, dag_id: str, run_id: str, task_id: str, state: str) -> None:
        body = {"dry_run": False, "new_state": state}
        self.api("PATCH", self._task_path(dag_id, run_id, task_id), body)


def _quoted(text: str) -> str:
    return urllib.parse.quote(text, safe="")
