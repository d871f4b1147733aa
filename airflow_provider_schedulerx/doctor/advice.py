"""What to set, from what was found out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from airflow_provider_schedulerx.doctor.examination import Report
from airflow_provider_schedulerx.doctor.findings import ACTIONS, Verdict

#: The RAM actions that tasks use; those of listing namespaces and groups are for this command only.
POLICY_ACTIONS = tuple(action for action in ACTIONS if not action.endswith(("NamespaceQuery", "GroupQuery")))
_DEFAULT_SETTLING_TIME = 60


@dataclass(frozen=True, slots=True)
class Advice:
    """:ivar value: what to set; None if that is not known.
    :ivar why: in a sentence.
    """

    setting: str
    value: str | None
    why: str


def advise(report: Report) -> list[Advice]:
    """Say what to set on operators and on the connection."""
    return [_run_marker(report), _calls_per_minute(report), *_poll_interval(report), *_settling_time(report)]


def policy() -> Mapping[str, object]:
    """The RAM policy that tasks need."""
    return {
        "Version": "1",
        "Statement": [{"Effect": "Allow", "Action": list(POLICY_ACTIONS), "Resource": "*"}],
    }


def policy_json() -> str:
    return json.dumps(policy(), indent=2)


def _run_marker(report: Report) -> Advice:
    finding = report.findings["parameters_shown"]
    shown, name = finding.value, "run_marker"
    if shown in ("run", "escaped", "html"):
        reading = report.findings["edas:ReadSchedulerxJobInstanceQuery"]
        if reading.value == "denied":
            return Advice(
                name, "True", f"with {reading.key} allowed: a lost answer is then settled by the marker"
            )
        return Advice(
            name,
            "True",
            "where instance_parameters are a JSON object, or none: a lost answer is then settled by the marker",
        )
    if finding.data.get("run_is_shown") is False:
        return Advice(
            name,
            "False",
            "the marker could not be seen again; after a lost answer, other new runs leave the decision to a person",
        )
    return Advice(
        name, None, "whether GetJobInstance shows it is not known: --start --parameters '{}' finds out"
    )


def _calls_per_minute(report: Report) -> Advice:
    name = "calls_per_minute"
    if report.findings["quota"].verdict is Verdict.WARN:
        return Advice(
            name,
            "50 / N",
            "for N triggerers: something else uses the account's quota of 100 calls a minute and operation",
        )
    return Advice(
        name,
        "100 / N",
        "for N triggerers that share the account; less if other programs call SchedulerX with it",
    )


def _poll_interval(report: Report) -> list[Advice]:
    finding = report.findings["poll_interval"]
    if finding.value is None:
        return []
    why = "the default: the quota is enough for what is active now"
    if finding.verdict is Verdict.WARN:
        why = "seconds; the quota allows no shorter interval for the runs that are, or may be, active"
    return [Advice("poll_interval", str(finding.value), why)]


def _settling_time(report: Report) -> list[Advice]:
    lag = report.findings["list_lag"]
    at_most = lag.data.get("at_most")
    if lag.value is None or at_most is None:
        return []
    needed = round(3 * at_most)
    if needed <= _DEFAULT_SETTLING_TIME:
        return [
            Advice(
                "settling_time", str(_DEFAULT_SETTLING_TIME), "the default: the list showed a run far sooner"
            )
        ]
    return [
        Advice("settling_time", str(needed), f"seconds; the list showed a new run after {at_most:.0f} s only")
    ]
