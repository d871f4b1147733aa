"""The report: for people, for programs, and for an issue."""

from __future__ import annotations

import json
import platform
import textwrap
from collections.abc import Mapping
from itertools import groupby
from typing import Any

from airflow_provider_schedulerx import __version__
from airflow_provider_schedulerx.doctor.advice import advise, policy, policy_json
from airflow_provider_schedulerx.doctor.examination import Report
from airflow_provider_schedulerx.doctor.findings import BY_KEY, START_ACTION, Finding, Verdict
from airflow_provider_schedulerx.doctor.scrubbing import PROMISE

#: Of the JSON; a field is never renamed or removed under the same number.
SCHEMA = 1
_WIDTH = 110
_MARKS = {Verdict.OK: "ok", Verdict.WARN: "WARN", Verdict.FAIL: "FAIL", Verdict.UNKNOWN: "?"}
_NEXT = "-> "
BEGIN, END = "--- for an issue, from here ---", "--- to here ---"


def table(report: Report, conn_id: str) -> str:
    """The report for a person at a terminal."""
    # The conclusion twice: people look at the top of a page and at the bottom of a terminal.
    parts = [f"SchedulerX doctor: connection {conn_id}", conclusion(report)]
    parts += [_section(name, findings, report) for name, findings in _sections(report)]
    parts += [_to_set(report), _to_paste(report), conclusion(report)]
    return "\n\n".join(parts)


def to_json(report: Report, conn_id: str) -> str:
    """The report for a program."""
    clean = report.scrubber.without_secrets
    return json.dumps(
        {
            "schema": SCHEMA,
            "version": __version__,
            "conn_id": conn_id,
            "would_work": report.would_work,
            "conclusion": clean(conclusion(report)),
            "findings": [
                _finding_json(finding, clean(finding.text), clean(finding.remedy or "") or None)
                for finding in report.findings.values()
            ],
            "advice": [
                {"setting": each.setting, "value": each.value, "why": each.why} for each in advise(report)
            ],
            "ram_policy": policy(),
            "for_an_issue": paste(report),
        },
        indent=2,
        ensure_ascii=False,
    )


def paste(report: Report) -> str:
    """The report for everybody: without secrets, and without the names of the account."""
    lines = [
        f"provider {__version__}, Airflow {_airflow_version()}, Python {platform.python_version()}",
        f"would work: {'yes' if report.would_work else 'no'}",
    ]
    for group in _grouped(list(report.findings.values())):
        keys = ", ".join(finding.key for finding in group)
        value = "" if group[0].value is None else f" = {group[0].value}"
        lines.append(f"{_MARKS[group[0].verdict]:4} {keys}{value}: {group[0].text}")
    return report.scrubber.anonymous("\n".join(lines))


def conclusion(report: Report) -> str:
    """Whether the operator would work, and if not, what has to be done first."""
    problems = [_name(finding) for finding in report.problems]
    open_ = [_name(finding) for finding in report.open_essentials]
    if problems:
        text = f"THE OPERATOR WOULD NOT WORK: see {_and(problems)}."
    elif open_:
        text = f"NOT KNOWN whether the operator would work: see {_and(open_)}."
    elif report.findings[START_ACTION].value == "allowed":
        text = "THE OPERATOR WOULD WORK: a run was started and followed."
    else:
        text = (
            "THE OPERATOR WOULD WORK, as far as can be seen without starting a run. Whether it may start and stop runs "
            "was not tried."
        )
    return _wrapped(text, "")


def _sections(report: Report) -> list[tuple[str, list[Finding]]]:
    by_section = groupby(report.findings.values(), key=lambda finding: BY_KEY[finding.key].section)
    return [(name, list(findings)) for name, findings in by_section]


def _grouped(findings: list[Finding]) -> list[list[Finding]]:
    """Findings in their order, but those that are unknown for the same reason stand together."""
    groups: dict[object, list[Finding]] = {}
    for finding in findings:
        is_unknown = finding.verdict is Verdict.UNKNOWN and finding.remedy is None
        groups.setdefault(finding.text if is_unknown else finding.key, []).append(finding)
    return list(groups.values())


def _section(name: str, findings: list[Finding], report: Report) -> str:
    groups = _grouped(findings)
    width = max((len(_name(group[0])) for group in groups if len(group) == 1), default=0)
    return "\n".join([name.upper(), *(_line(group, width, report) for group in groups)])


def _line(group: list[Finding], width: int, report: Report) -> str:
    finding = group[0]
    clean = report.scrubber.without_secrets
    mark = f"  {_MARKS[finding.verdict]:<4}  "
    if len(group) > 1:
        names = ", ".join(map(_name, group))
        return _wrapped(f"{names}: {clean(finding.text)}", mark)
    head = f"{mark}{_name(finding):<{width}}  "
    value = "" if finding.value is None else str(finding.value)
    text = finding.text if value in finding.text else f"{value}: {finding.text}"
    lines = [_wrapped(clean(text), head)]
    if finding.remedy:
        lines.append(_wrapped(clean(finding.remedy), f"{' ' * len(head)}{_NEXT}"))
    return "\n".join(lines)


def _name(finding: Finding) -> str:
    return BY_KEY[finding.key].label


def _to_set(report: Report) -> str:
    lines = ["WHAT TO SET"]
    every = advise(report)
    width = max(len(each.setting) for each in every)
    for each in every:
        value = each.value or "not known"
        lines.append(_wrapped(f"{value}: {each.why}", f"  {each.setting:<{width}}  "))
    lines.append("  RAM policy of the identity that tasks use:")
    lines.append(textwrap.indent(policy_json(), "    "))
    return "\n".join(lines)


def _to_paste(report: Report) -> str:
    return "\n".join([_wrapped(f"FOR AN ISSUE. {PROMISE}", ""), BEGIN, paste(report), END])


def _wrapped(text: str, head: str) -> str:
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _airflow_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    for name in ("apache-airflow-core", "apache-airflow"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "unknown"


def _finding_json(finding: Finding, text: str, remedy: str | None) -> Mapping[str, Any]:
    return {
        "key": finding.key,
        "section": BY_KEY[finding.key].section,
        "value": finding.value,
        "verdict": finding.verdict.value,
        "text": text,
        "remedy": remedy,
        "data": dict(finding.data),
    }
