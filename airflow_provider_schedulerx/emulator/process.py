"""Start an emulator in its own process and drive it: for demos and tests, also yours."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Self

_MODULE = "airflow_provider_schedulerx.emulator"
_STOP_SECONDS = 10
_ANSWER_SECONDS = 30


class EmulatorError(RuntimeError):
    """The emulator did not start, or refused an order."""


class EmulatorProcess:
    """A running emulator, stopped at the end of the ``with`` block.

    :param arguments: of the command line; the ports are free ones unless given here.
    :param profile: what it does where the documentation leaves it open; see
        :mod:`airflow_provider_schedulerx.emulator.profile`.
    :ivar endpoint: URL of the service, for ``host`` of the connection.
    :ivar admin: URL of the remote control.
    :ivar ca_file: path of the certificate authority, with ``--tls``.
    :ivar token_service: URL of the security token service, with ``--token-port``.
    :ivar token_ca_file: path of its certificate authority.
    :ivar metadata: URL of the ECS metadata server, with ``--metadata-port``.
    """

    def __init__(self, *arguments: str, profile: str | None = None) -> None:
        self._arguments = list(arguments)
        if profile is not None:
            self._set_argument("--profile", profile)
        if "--port" not in arguments:
            self._arguments += ["--port", "0"]
        self._process: subprocess.Popen[str] | None = None
        self.endpoint: str = ""
        self.admin: str = ""
        self.ca_file: str | None = None
        self._connection: dict[str, Any] = {}
        self.token_service = ""
        self.token_ca_file = ""
        self.metadata = ""

    def start(self) -> Self:
        """Start it and wait until it listens.

        :raises EmulatorError: with what it printed.
        """
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", _MODULE, "--end-with-stdin", *self._arguments],
            # It ends when its other end closes, however this process dies.
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        printed = ""
        for line in self._process.stdout:
            printed += line
            if line.startswith("{"):
                facts = json.loads(line)
                self.endpoint, self.admin = str(facts["endpoint"]), str(facts["admin"])
                self.ca_file = facts["ca_file"]
                self._connection = facts["connection"]
                for name in ("token_service", "token_ca_file", "metadata"):
                    setattr(self, name, facts.get(name, ""))
                return self
        code = self._process.wait()
        self._end(signal.SIGTERM)
        raise EmulatorError(f"the emulator did not start (exit code {code}): {printed.strip()}")

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it as ``kill -9`` does."""
        self._end(signal.SIGKILL)

    def restart(self) -> Self:
        """Start it again on the same ports, so that its clients need not change."""
        if (ca_file := self.ca_file or self.token_ca_file) and "--tls-folder" not in self._arguments:
            self._arguments += ["--tls-folder", os.path.dirname(ca_file)]
        for name, url in (
            ("--port", self.endpoint),
            ("--admin-port", self.admin),
            ("--token-port", self.token_service),
            ("--metadata-port", self.metadata),
        ):
            if url:
                self._set_argument(name, url.rpartition(":")[2])
        return self.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def connection(self, **extra: Any) -> dict[str, Any]:
        """An Airflow connection to this emulator, as the JSON that ``AIRFLOW_CONN_...`` takes.

        With the first account that has a key, and the namespace and group of the first workflow. Its links
        lead to the emulator's own console.

        :param extra: more fields of its extra; None leaves one out.
        """
        return {**self._connection, "extra": {**self._connection["extra"], **extra}}

    def counters(self) -> dict[str, Any]:
        """``calls`` and ``outcomes`` by operation, ``starts`` by workflow id and ``job_starts`` by job id (as text)."""
        counters: dict[str, Any] = self._ask("GET", "/counters")
        return counters

    def starts(self, workflow_id: int) -> int:
        """Instances of a workflow ever started."""
        return int(self.counters()["starts"].get(str(workflow_id), 0))

    def job_starts(self, job_id: int) -> int:
        """Instances of a job by itself ever started."""
        return int(self.counters()["job_starts"].get(str(job_id), 0))

    def calls(self, operation: str) -> int:
        return int(self.counters()["calls"].get(operation, 0))

    def instances(self, workflow_id: int | None = None) -> list[dict[str, Any]]:
        suffix = "" if workflow_id is None else f"?workflow_id={workflow_id}"
        instances: list[dict[str, Any]] = self._ask("GET", f"/instances{suffix}")
        return instances

    def job_instances(self, job_id: int) -> list[dict[str, Any]]:
        """Runs of a job by itself, oldest first."""
        instances: list[dict[str, Any]] = self._ask("GET", f"/instances?job_id={job_id}")
        return instances

    def add_fault(self, operation: str, effect: str, **details: Any) -> None:
        """Ask for a fault; see :class:`airflow_provider_schedulerx.emulator.faults.Fault`."""
        self._ask("POST", "/faults", {"operation": operation, "effect": effect, **details})

    def clear_faults(self) -> None:
        self._ask("DELETE", "/faults")

    def pending_faults(self) -> list[dict[str, Any]]:
        faults: list[dict[str, Any]] = self._ask("GET", "/faults")
        return faults

    def set_quota(self, per_minute: int) -> None:
        self._ask("PUT", "/quota", {"per_minute": per_minute})

    def profile(self) -> dict[str, str]:
        """The value of every behaviour that the documentation leaves open."""
        values: dict[str, str] = self._ask("GET", "/profile")["values"]
        return values

    def set_profile(self, profile: str) -> None:
        """Choose another profile, as ``--profile`` does; it outlives a restart.

        :raises EmulatorError: if there is no such profile, behaviour or value; lists the known ones.
        """
        self._ask("PUT", "/profile", {"profile": profile})
        self._set_argument("--profile", profile)

    def reset(self) -> None:
        """Be as at the start: no instances, faults and counts; workflows, accounts, quota and profile as given."""
        self._ask("POST", "/reset", {})

    def add_account(self, **account: Any) -> None:
        """Add or replace one; see :class:`airflow_provider_schedulerx.emulator.definitions.Account`."""
        self._ask("POST", "/accounts", account)

    def add_workflows(self, definitions: Mapping[str, Any]) -> None:
        """Add or replace workflows and jobs, given as in the YAML file."""
        self._ask("POST", "/workflows", definitions)

    def set_schedule(
        self,
        workflow_id: int,
        time_type: str,
        time_expression: str | float = "",
        *,
        data_offset: float = 0,
        runs: int | None = None,
    ) -> None:
        """Let the service start a workflow by itself, or stop that; a restart forgets it.

        :param time_type: ``cron``, ``fixed_rate``, or ``api`` for no schedule.
        :param time_expression: a Quartz expression such as ``0 0 2 * * ?``, or seconds.
        :param data_offset: seconds from ``ScheduleTime`` to ``DataTime``.
        :param runs: after how many runs it stops.
        """
        self._ask(
            "PUT",
            "/schedules",
            {
                "workflow_id": workflow_id,
                "time_type": time_type,
                "time_expression": time_expression,
                "data_offset": data_offset,
                "runs": runs,
            },
        )

    def rerun(
        self, workflow_id: int, *, schedule_time: str | None = None, data_time: str | None = None
    ) -> int:
        """Start a run for another time, as people do in the console for a day that went wrong.

        :param schedule_time: as the service writes it, such as ``2023-01-03 18:00:01``; None is now.
        :param data_time: None is as ``schedule_time``.
        :return: its ``WfInstanceId``.
        """
        wanted = {"workflow_id": workflow_id, "schedule_time": schedule_time, "data_time": data_time}
        return int(self._ask("POST", "/instances", wanted)["wf_instance_id"])

    def set_issuer(self, **wanted: Any) -> None:
        """Change token service and metadata server; see :class:`airflow_provider_schedulerx.emulator.issuing.Issuer`.

        :param wanted: ``lifetime`` in seconds, and ``away``: None, ``drop`` or ``error``.
        """
        self._ask("PUT", "/issuer", wanted)

    def issued(self, kind: str) -> int:
        """How many keys were issued.

        :param kind: ``AssumeRole``, ``AssumeRoleWithOIDC`` or ``metadata``.
        """
        return int(self._ask("GET", "/issuer")["issued"].get(kind, 0))

    def revoke_issued(self) -> None:
        """Make all keys inactive that were issued so far."""
        self._ask("DELETE", "/issuer/keys")

    def set_metadata(self, **wanted: str) -> None:
        """Change ``mode`` and ``role_name``; see :class:`airflow_provider_schedulerx.emulator.metadata.MetadataServer`."""
        self._ask("PUT", "/metadata", wanted)

    def add_role(self, **role: Any) -> None:
        """Add or replace one; see :class:`airflow_provider_schedulerx.emulator.token_service.Role`."""
        self._ask("POST", "/roles", role)

    def oidc_token(self, **wanted: Any) -> str:
        """A token of the emulator's identity provider.

        :param wanted: ``seconds`` and ``audience``.
        """
        return str(self._ask("POST", "/oidc-tokens", wanted)["token"])

    def _set_argument(self, name: str, value: str) -> None:
        if name in self._arguments:
            self._arguments[self._arguments.index(name) + 1] = value
        else:
            self._arguments += [name, value]

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process = None

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - always http
            self.admin + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        # Without proxies: the emulator is on this machine, whatever the environment says.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=_ANSWER_SECONDS) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise EmulatorError(error.read().decode()) from None
