"""The page's HTML, from what is stored. Text enters only through ``html.escape``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from urllib.parse import urlsplit

from airflow_provider_schedulerx import drawing
from airflow_provider_schedulerx.run_page.snapshot import Snapshot, SnapshotNode

#: States of a task instance after which nothing follows its run any more.
OVER = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
#: Seconds without a snapshot after which the page says that something may be wrong.
_SILENCE = 3600.0


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task instance, and what is stored of its run.

    :ivar state: of the task instance; None for one that is not scheduled yet.
    :ivar snapshot: None if nothing is stored.
    :ivar is_unreadable: whether something is stored that is no snapshot.
    :ivar console_url: of the run.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    state: str | None
    snapshot: Snapshot | None = None
    is_unreadable: bool = False
    console_url: str | None = None

    @property
    def is_over(self) -> bool:
        return self.state in OVER

    @property
    def is_stale(self) -> bool:
        """Whether the run was last seen active, and nobody follows it any more."""
        return (
            self.snapshot is not None
            and not self.snapshot.status.is_terminal
            and self.state not in ("running", "deferred", "up_for_reschedule")
        )

    @property
    def label(self) -> str:
        return self.task_id if self.map_index < 0 else f"{self.task_id} [{self.map_index}]"


def task_part(view: TaskView, now: float) -> str:
    """Return what is shown of one task instance, which the page's script replaces again and again."""
    return f'<main id="run" data-active="{int(not view.is_over)}">{_run(view, now, "h1")}</main>'


def dag_run_part(views: Sequence[TaskView], total: int, is_over: bool, now: float, mount: str) -> str:
    """Return what is shown of all runs of a DAG run.

    :param views: those with something stored, as many as are shown.
    :param total: how many there are.
    """
    if not views:
        when = "No task of this DAG run has a SchedulerX run." if is_over else "No SchedulerX run yet."
        return f'<main id="run" data-active="{int(not is_over)}"><p class="note">{when}</p></main>'
    from airflow_provider_schedulerx.run_page.paths import task_path

    rows = [
        (
            f'<a href="{escape(mount + task_path(view.dag_id, view.task_id, view.map_index, view.run_id))}">'
            f"{escape(view.label)}</a>",
            escape("" if view.snapshot is None else str(view.snapshot.workflow_id)),
            escape("" if view.snapshot is None else str(view.snapshot.wf_instance_id)),
            "unreadable" if view.snapshot is None else _run_badge(view, view.snapshot),
            "" if view.snapshot is None else escape(ago(view.snapshot.observed_at, now)),
        )
        for view in sorted(views, key=_failed_first)
    ]
    more = "" if total <= len(views) else f'<p class="note">{len(views)} of {total:,} runs are shown.</p>'
    drawn = [view for view in sorted(views, key=_failed_first) if view.snapshot is not None][:_MAX_DRAWN]
    return (
        f'<main id="run" data-active="{int(not is_over)}"><h1>SchedulerX runs</h1>{more}'
        f"{drawing.table(('Task', 'Workflow', 'Instance', 'State', 'Seen'), rows)}"
        f"{''.join(f'<section><h2>{escape(view.label)}</h2>{_run(view, now, None)}</section>' for view in drawn)}</main>"
    )


#: Drawings on the page of a DAG run. Its table has a link to each of the others.
_MAX_DRAWN = 20


def _failed_first(view: TaskView) -> tuple[bool, str, int]:
    is_bad = view.snapshot is not None and view.snapshot.status.name == "FAILED"
    return (not is_bad, view.task_id, view.map_index)


def _run(view: TaskView, now: float, heading: str | None) -> str:
    snapshot = view.snapshot
    if view.is_unreadable:
        return '<p class="warning">What is stored for this task is not a snapshot of a run, so it is not shown.</p>'
    if snapshot is None:
        return f'<p class="note">{_nothing(view.state)}</p>'
    title = (
        f"Workflow {snapshot.workflow_id}, instance {snapshot.wf_instance_id} {_run_badge(view, snapshot)}"
    )
    return (
        (f"<h1>{title}</h1>" if heading else f"<p>{title}</p>")
        + f'<p class="note">{_age(snapshot, now)}{_times(snapshot)}{_console(view.console_url)}</p>'
        + _warning(view, snapshot, now)
        + _drawing(view, snapshot)
        + _nodes(view, snapshot)
    )


def _nothing(state: str | None) -> str:
    if state in OVER:
        return "This task has no SchedulerX run."
    return "This task has no SchedulerX run yet."


def _run_badge(view: TaskView, snapshot: Snapshot) -> str:
    name = snapshot.status.name
    return drawing.badge("", f"was {name}") if view.is_stale else drawing.badge(name)


def _age(snapshot: Snapshot, now: float) -> str:
    seen = f"Seen {ago(snapshot.observed_at, now)}"
    if snapshot.nodes_observed_at is None:
        return f"{seen}."
    return f"{seen}, nodes {ago(snapshot.nodes_observed_at, now)}."


def _times(snapshot: Snapshot) -> str:
    took = duration(snapshot.start_time, snapshot.end_time)
    parts = [
        f" {name} {escape(value)}."
        for name, value in (("Start", snapshot.start_time), ("End", snapshot.end_time), ("Took", took))
        if value
    ]
    return "".join(parts)


def _console(url: str | None) -> str:
    """Return a link. Airflow's frame opens no new window, so the page's script hides it there."""
    if url is None or not is_web_link(url):
        return ""
    return f' <a class="outside" href="{escape(url)}" target="_blank" rel="noopener noreferrer">Open in the console</a>'


def _warning(view: TaskView, snapshot: Snapshot, now: float) -> str:
    if view.is_stale:
        state = (view.state or "none").replace("_", " ")
        text = f"Nobody follows this run at the moment: the task's state is {state}. Shown is how the run was last seen."
    elif not view.is_over and now - snapshot.observed_at > _SILENCE:
        text = (
            f"Nothing was stored for {ago(snapshot.observed_at, now).removesuffix(' ago')}. The triggerer or worker may "
            "be down, SchedulerX may not answer, or poll_interval is that long; the task's log says more."
        )
    elif _has_ended_since(snapshot):
        return '<p class="note">The run has ended since its nodes were seen.</p>'
    else:
        return ""
    return f'<p class="warning">{escape(text)}</p>'


def _drawing(view: TaskView, snapshot: Snapshot) -> str:
    if not snapshot.nodes:
        return '<p class="note">The nodes have not been seen yet.</p>'
    after: list[list[int]] = [[] for _ in snapshot.nodes]
    for source, target in snapshot.edges:
        after[target].append(source)
    nodes = [
        drawing.Node(
            name=node.label,
            state="" if _is_past(view, node) else node.status.name,
            state_text=_state_text(view, node),
            after=tuple(sources),
            detail=", ".join(filter(None, (duration(node.start_time, node.end_time), _retries(node)))),
            tooltip=f"{node.label} (job {node.job_id}): {_state_text(view, node)}. {node.result or ''}".rstrip(),
        )
        for node, sources in zip(snapshot.nodes, after, strict=True)
    ]
    return (
        '<div class="zoom" hidden><button type="button" data-zoom="out" aria-label="Zoom out">&minus;</button>'
        '<button type="button" data-zoom="fit">Fit</button>'
        '<button type="button" data-zoom="in" aria-label="Zoom in">+</button></div>'
        f'<div class="scroll drawing" tabindex="0">{drawing.draw(nodes)}</div>'
    )


def _nodes(view: TaskView, snapshot: Snapshot) -> str:
    if not snapshot.nodes:
        return ""
    rows = [
        (
            escape(node.label if node.name is None else f"{node.name} (job {node.job_id})"),
            drawing.badge("", _state_text(view, node))
            if _is_past(view, node)
            else drawing.badge(node.status.name),
            escape(str(node.retries or 0)),
            escape(node.start_time or ""),
            escape(duration(node.start_time, node.end_time)),
            escape(node.result or ""),
        )
        for node in sorted(snapshot.nodes, key=lambda node: not node.status.is_bad)
    ]
    left_out = snapshot.nodes_total - len(snapshot.nodes)
    more = f'<p class="note">{left_out:,} more nodes are not shown.</p>' if left_out > 0 else ""
    return drawing.table(("Node", "State", "Retries", "Start", "Took", "Result"), rows) + more


def _is_past(view: TaskView, node: SnapshotNode) -> bool:
    """Whether a node's state is only how it was last seen: nobody follows the run, or it has ended since."""
    has_ended_since = view.snapshot is not None and _has_ended_since(view.snapshot)
    return (view.is_stale or has_ended_since) and node.status.is_active


def _has_ended_since(snapshot: Snapshot) -> bool:
    """Whether the run has ended since its nodes were seen."""
    return snapshot.status.is_terminal and snapshot.nodes_observed_at not in (None, snapshot.observed_at)


def _state_text(view: TaskView, node: SnapshotNode) -> str:
    return f"was {node.status.name}" if _is_past(view, node) else node.status.name


def _retries(node: SnapshotNode) -> str:
    if not node.retries:
        return ""
    return f"{node.retries} {'retry' if node.retries == 1 else 'retries'}"


def duration(start: str | None, end: str | None) -> str:
    """Return the time between two of the service's texts. Their zone is not documented, but is one and the same."""
    try:
        seconds = (datetime.fromisoformat(end or "") - datetime.fromisoformat(start or "")).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return ""
    return spoken(seconds) if seconds >= 0 else ""


def ago(at: float, now: float) -> str:
    """Return how long ago an instant was, both in epoch seconds."""
    return f"{spoken(max(0.0, now - at))} ago"


def spoken(seconds: float) -> str:
    """Return a duration as people say it: ``20 s``, ``3 min 5 s``, ``2 h 10 min``, ``3 d 4 h``."""
    whole = int(seconds)
    units = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s"))
    for size, name, smaller, smaller_name in units:
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {name}" + (f" {rest} {smaller_name}" if rest else "")
    return f"{whole} s"


def is_web_link(url: str) -> bool:
    """Return whether a URL may become a link: http and https only, since anyone may edit an XCom."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc) and len(url) <= 2_000


def refusal(title: str, text: str) -> str:
    """Return the page's content for someone, or something, that is refused."""
    return f'<main id="run" data-active="0"><h1>{escape(title)}</h1><p class="note">{escape(text)}</p></main>'


def page(content: str, mount: str, back: str | None = None) -> str:
    """Return a whole page around a part.

    :param mount: path that the page is served below.
    :param back: path of Airflow's own page, for whoever came by the extra link.
    """
    link = f'<nav class="outside"><a href="{escape(back)}">Back to Airflow</a></nav>' if back else ""
    static = escape(f"{mount}/static")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>SchedulerX run</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="stylesheet" href="{static}/run.css"><link rel="stylesheet" href="{static}/page.css">'
        f'<script src="{static}/run.js"></script></head><body>{link}{content}</body></html>'
    )
