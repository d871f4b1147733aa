"""The HTML of one run: its state, its DAG and the table of its nodes. Text enters only through ``html.escape``."""

from __future__ import annotations

from html import escape
from urllib.parse import urlsplit

from airflow_provider_schedulerx import drawing
from airflow_provider_schedulerx.run_page.snapshot import Snapshot, SnapshotNode
from airflow_provider_schedulerx.run_page.spoken import ago, duration, spoken
from airflow_provider_schedulerx.run_page.view import TaskView

#: Seconds without a snapshot after which the page says that something may be wrong.
_SILENCE = 3600.0


def run_html(view: TaskView, now: float, title_tag: str) -> str:
    """Return what is shown of a run, or the sentence that is shown in its place.

    :param now: epoch seconds.
    :param title_tag: element that its title is: ``h1`` or ``p``.
    """
    snapshot = view.snapshot
    if view.is_unreadable:
        return '<p class="warning">What is stored for this task is not a snapshot of a run, so it is not shown.</p>'
    if snapshot is None:
        return f'<p class="note">{_nothing(view)}{_console(view.console_url)}</p>'
    title = f"{escape(snapshot.label)} {run_badge(view, snapshot)}"
    return (
        f"<{title_tag}>{title}</{title_tag}>"
        f'<p class="note">{_age(snapshot, now)}{_times(snapshot)}{_console(view.console_url)}</p>'
        + _warning(view, snapshot, now)
        + (
            _drawing(view, snapshot) + _nodes(view, snapshot)
            if snapshot.kind == "workflow"
            else _job(snapshot)
        )
    )


def _nothing(view: TaskView) -> str:
    if view.console_url is not None and view.is_over:
        return "Nothing is stored of this task's run, for instance because the task did not wait for it."
    if view.console_url is not None:
        return "Nothing is stored of this task's run yet."
    return "This task has no SchedulerX run." if view.is_over else "This task has no SchedulerX run yet."


def run_badge(view: TaskView, snapshot: Snapshot) -> str:
    """Return the state of a run as a label. A run that nobody follows is never shown as active, nor one of an earlier try
    as that of the latest.
    """
    name = snapshot.status.name
    is_past = view.is_stale or view.is_of_earlier_try
    return drawing.badge("", f"was {name}") if is_past else drawing.badge(name)


def _age(snapshot: Snapshot, now: float) -> str:
    text = f"Seen {ago(snapshot.observed_at, now)}"
    if snapshot.nodes_observed_at is not None and snapshot.kind != "job":
        text += f", nodes {ago(snapshot.nodes_observed_at, now)}"
    return escape(f"{text}.")


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
    if view.is_of_earlier_try:
        text = (
            "This is the run of an earlier try, as it was last seen. The new try has stored nothing so far."
        )
    elif view.is_stale:
        state = (view.state or "none").replace("_", " ")
        text = f"Nobody follows this run at the moment: the task's state is {state}. This is how the run was last seen."
    elif not view.is_over and now - snapshot.observed_at > _SILENCE:
        text = (
            f"Nothing was stored for {spoken(now - snapshot.observed_at)}. The triggerer or worker may "
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


def _job(snapshot: Snapshot) -> str:
    """Return what a run of a job has beside its state and times."""
    job = snapshot.job
    if job is None:
        return ""
    return drawing.table(("Job", "Result"), [(escape(_name_and_id(job)), escape(job.result or ""))])


def _name_and_id(node: SnapshotNode) -> str:
    return node.label if node.name is None else f"{node.name} (job {node.job_id})"


def _nodes(view: TaskView, snapshot: Snapshot) -> str:
    if not snapshot.nodes:
        return ""
    rows = [
        (
            escape(_name_and_id(node)),
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
    return (view.is_stale or view.is_of_earlier_try or has_ended_since) and node.status.is_active


def _has_ended_since(snapshot: Snapshot) -> bool:
    """Whether the run has ended since its nodes were seen."""
    return (
        snapshot.status.is_terminal
        and snapshot.kind == "workflow"
        and snapshot.nodes_observed_at not in (None, snapshot.observed_at)
    )


def _state_text(view: TaskView, node: SnapshotNode) -> str:
    return f"was {node.status.name}" if _is_past(view, node) else node.status.name


def _retries(node: SnapshotNode) -> str:
    if not node.retries:
        return ""
    return f"{node.retries} {'retry' if node.retries == 1 else 'retries'}"


def is_web_link(url: str) -> bool:
    """Return whether a URL may become a link: http and https only, since anyone may edit an XCom."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return (
        parts.scheme in ("http", "https") and bool(parts.netloc) and len(url) <= 2_000 and url.isprintable()
    )
