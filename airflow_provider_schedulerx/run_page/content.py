"""The page's HTML around the runs that it shows. Text enters only through ``html.escape``."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from airflow_provider_schedulerx import drawing
from airflow_provider_schedulerx.run_page.paths import task_path
from airflow_provider_schedulerx.run_page.run_html import run_badge, run_html
from airflow_provider_schedulerx.run_page.spoken import ago
from airflow_provider_schedulerx.run_page.view import TaskView


def task_part(view: TaskView, now: float) -> str:
    """Return what is shown of one task instance, which the page's script replaces again and again."""
    return f'<main id="run" data-active="{int(not view.is_over)}">{run_html(view, now, "h1")}</main>'


def dag_run_part(views: Sequence[TaskView], total: int, is_over: bool, now: float, mount: str) -> str:
    """Return what is shown of all runs of a DAG run.

    :param views: those with something stored, as many as are shown.
    :param total: how many there are.
    """
    if not views:
        when = "No task of this DAG run has a SchedulerX run." if is_over else "No SchedulerX run yet."
        return f'<main id="run" data-active="{int(not is_over)}"><p class="note">{when}</p></main>'
    views = sorted(views, key=lambda view: (view.urgency, view.task_id, view.map_index))
    rows = [
        (
            f'<a href="{escape(mount + task_path(view.dag_id, view.task_id, view.map_index, view.run_id))}">'
            f"{escape(view.label)}</a>",
            escape("" if view.snapshot is None else f"{view.snapshot.kind} {view.snapshot.definition_id}"),
            escape("" if view.snapshot is None else str(view.snapshot.instance_id)),
            "unreadable" if view.snapshot is None else run_badge(view, view.snapshot),
            "" if view.snapshot is None else escape(ago(view.snapshot.observed_at, now)),
        )
        for view in views
    ]
    more = "" if total <= len(views) else f'<p class="note">{len(views)} of {total:,} runs are shown.</p>'
    drawn = _drawn([view for view in views if view.snapshot is not None])
    runs = "".join(
        f"<section><h2>{escape(view.label)}</h2>{run_html(view, now, 'p')}</section>" for view in drawn
    )
    if len(drawn) < len(views):
        runs += '<p class="note">The other runs are drawn on their own pages.</p>'
    return (
        f'<main id="run" data-active="{int(not is_over)}"><h1>SchedulerX runs</h1>{more}'
        f"{drawing.table(('Task', 'Run of', 'Instance', 'State', 'Seen'), rows)}{runs}</main>"
    )


#: Runs and nodes that are drawn on the page of a DAG run. Its table has a link to each of the others.
_MAX_DRAWN, _MAX_NODES_DRAWN = 20, 600


def _drawn(views: Sequence[TaskView]) -> Sequence[TaskView]:
    """Return as many of the first ones as are drawn."""
    nodes = 0
    for count, view in enumerate(views[:_MAX_DRAWN]):
        nodes += 0 if view.snapshot is None else len(view.snapshot.nodes)
        if nodes > _MAX_NODES_DRAWN:
            return views[: max(1, count)]
    return views[:_MAX_DRAWN]


def refusal(title: str, text: str) -> str:
    """Return the page's content for someone, or something, that is refused."""
    return f'<main id="run" data-active="0"><h1>{escape(title)}</h1><p class="note">{escape(text)}</p></main>'


#: Shown by the page's script.
_LOST = (
    '<p id="lost" class="warning" role="status" hidden>This page could not be renewed: it shows what was seen last. '
    "If this lasts, open it again.</p>"
)


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
        f'<script src="{static}/run.js"></script></head><body>{link}{_LOST}{content}</body></html>'
    )
