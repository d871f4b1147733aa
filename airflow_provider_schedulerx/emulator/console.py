"""Pages for people: what the emulator runs, and each run as a drawn DAG. HTML from the server, no script."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from html import escape

from aiohttp import web

from airflow_provider_schedulerx.emulator.definitions import Node, Workflow
from airflow_provider_schedulerx.emulator.engine import Engine, InstanceRun, NodeRun
from airflow_provider_schedulerx.emulator.operations import WORKER

#: Seconds after which a page of a run that is active loads itself again.
REFRESH_SECONDS = 2
_SHOWN_RUNS = 50

#: status -> what it is called, and its colours (text, fill).
_STATES = {
    1: ("WAITING", "#475569", "#f1f5f9"),
    2: ("READY", "#6d28d9", "#ede9fe"),
    3: ("RUNNING", "#1d4ed8", "#dbeafe"),
    4: ("SUCCESS", "#166534", "#dcfce7"),
    5: ("FAILED", "#b91c1c", "#fee2e2"),
    9: ("REJECTED", "#9a3412", "#ffedd5"),
}
_UNKNOWN = ("UNKNOWN", "#000000", "#ffffff")

# Sizes of the drawing, in its own units.
_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _MARGIN = 190, 58, 24, 46, 12

_STYLE = """
:root { font-family: system-ui, sans-serif; color: #0f172a; background: #f8fafc; }
body { margin: 0 auto; padding: 1rem; max-width: 62rem; }
header { border-bottom: 1px solid #cbd5e1; margin-bottom: 1rem; }
h1 { font-size: 1.3rem; margin: .5rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 1.2rem 0 .4rem; }
.note { color: #475569; font-size: .85rem; margin: 0 0 .5rem; }
.state { display: inline-block; padding: .1rem .5rem; border-radius: .6rem; font-weight: 600; font-size: .85rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: .5rem 0; }
dt { color: #475569; } dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; padding: .35rem .6rem .35rem 0; border-bottom: 1px solid #e2e8f0; vertical-align: top; }
svg { display: block; width: 100%; height: auto; margin: 0 auto; }
pre { background: #0f172a; color: #e2e8f0; padding: .7rem; border-radius: .4rem; overflow-x: auto; font-size: .8rem; }
summary { cursor: pointer; padding: .3rem 0; }
"""


def routes(app: web.Application, engine: Engine) -> None:
    """Add the pages to an application, below ``/console``."""

    async def index(http: web.Request) -> web.Response:
        engine.advance_all()
        return _html(index_page(engine))

    async def run(http: web.Request) -> web.Response:
        workflow = engine.workflows.get(_number(http.match_info["workflow_id"]))
        found = engine.instances.get(_number(http.match_info["wf_instance_id"]))
        if workflow is None or found is None or found.workflow_id != workflow.workflow_id:
            raise web.HTTPNotFound(text="There is no such workflow instance.")
        engine.advance(workflow)
        return _html(run_page(workflow, found, engine.now()))

    app.router.add_get("/console", index)
    app.router.add_get("/console/", index)
    app.router.add_get("/console/{workflow_id}/{wf_instance_id}", run)


def index_page(engine: Engine) -> str:
    """All workflows, and their newest runs."""
    parts = []
    for workflow in engine.workflows.values():
        runs = engine.runs_of(workflow)
        rows = "".join(
            f'<tr><td><a href="/console/{workflow.workflow_id}/{run.wf_instance_id}">{run.wf_instance_id}</a></td>'
            f"<td>{_badge(run.status)}</td><td>{_time(run.started)}</td><td>{_time(run.ended)}</td></tr>"
            for run in reversed(runs[-_SHOWN_RUNS:])
        )
        table = (
            _table(("Workflow instance", "State", "Start", "End"), rows)
            if rows
            else '<p class="note">No runs yet.</p>'
        )
        parts.append(f"<h2>{escape(workflow.name)} (workflow {workflow.workflow_id})</h2>{table}")
    return _page("Workflows", "".join(parts), refresh=True)


def run_page(workflow: Workflow, run: InstanceRun, now: float) -> str:
    """One run: its DAG, its nodes and their logs."""
    facts = [
        ("Workflow", f"{workflow.name} ({workflow.workflow_id})"),
        ("Namespace, group", f"{workflow.namespace}, {workflow.group}"),
        ("Parameters", run.parameters or "none"),
        ("Start", _time(run.started)),
        ("End", _time(run.ended)),
        ("Duration", _duration(run.started, run.ended, now)),
    ]
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts)
    rows = "".join(
        f"<tr><td>{escape(node.definition.name)}</td><td>{_badge(node.status)}</td><td>{node.attempt}</td>"
        f"<td>{_time(_began(node))}</td><td>{_duration(_began(node), node.ends, now)}</td>"
        f"<td>{WORKER if _began(node) else ''}</td><td>{escape(node.result)}</td></tr>"
        for node in run.nodes.values()
    )
    logs = "".join(_log(node.definition.name, node, now) for node in run.nodes.values())
    return _page(
        f"Workflow instance {run.wf_instance_id}",
        f"<p>{_badge(run.status)}</p><dl>{listed}</dl>"
        f"<h2>DAG</h2>{drawing(run)}"
        f"<h2>Nodes</h2>{_table(('Node', 'State', 'Attempt', 'Start', 'Duration', 'Worker', 'Result'), rows)}"
        f"<h2>Logs</h2>{logs}"
        '<p><a href="/console/">All workflows</a></p>',
        refresh=run.is_active,
    )


def drawing(run: InstanceRun) -> str:
    """The DAG as an SVG, downwards: a node stands below all that it comes after."""
    nodes = {job_id: node.definition for job_id, node in run.nodes.items()}
    ranks = _ranks(nodes)
    broadest = max(map(len, ranks))
    width = 2 * _MARGIN + broadest * _WIDTH + (broadest - 1) * _GAP_X
    height = 2 * _MARGIN + len(ranks) * _HEIGHT + (len(ranks) - 1) * _GAP_Y
    place: dict[int, tuple[float, float]] = {}
    for depth, rank in enumerate(ranks):
        used = len(rank) * _WIDTH + (len(rank) - 1) * _GAP_X
        for number, job_id in enumerate(rank):
            x = (width - used) / 2 + number * (_WIDTH + _GAP_X)
            place[job_id] = (x, _MARGIN + depth * (_HEIGHT + _GAP_Y))
    edges, boxes = [], []
    for job_id, node in nodes.items():
        x, y = place[job_id]
        for before in node.after:
            from_x, from_y = place[before][0] + _WIDTH / 2, place[before][1] + _HEIGHT
            to_x, middle = x + _WIDTH / 2, (from_y + y) / 2
            edges.append(
                f'<path d="M{from_x:g} {from_y:g}C{from_x:g} {middle:g} {to_x:g} {middle:g} {to_x:g} {y:g}" '
                'fill="none" stroke="#94a3b8" stroke-width="2" marker-end="url(#arrow)"/>'
            )
        state, ink, fill = _STATES.get(run.nodes[job_id].status, _UNKNOWN)
        name = node.name if len(node.name) <= 20 else f"{node.name[:19]}…"
        boxes.append(
            f'<g><title>{escape(node.name)} (job {job_id}): {state}</title><rect x="{x:g}" y="{y:g}" width="{_WIDTH}" '
            f'height="{_HEIGHT}" rx="8" fill="{fill}" stroke="{ink}" stroke-width="2"/>'
            f'<text x="{x + _WIDTH / 2:g}" y="{y + 25:g}" text-anchor="middle" font-size="16" font-weight="600" '
            f'fill="#0f172a">{escape(name)}</text>'
            f'<text x="{x + _WIDTH / 2:g}" y="{y + 46:g}" text-anchor="middle" font-size="14" fill="{ink}">{state}</text></g>'
        )
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" style="max-width:{width:g}px" role="img" '
        'aria-label="DAG of the workflow"><defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" '
        'markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#94a3b8"/></marker></defs>'
        f"{''.join(edges)}{''.join(boxes)}</svg>"
    )


def _ranks(nodes: Mapping[int, Node]) -> list[list[int]]:
    """Job ids by depth: the longest way to them from a node without predecessors."""
    depth: dict[int, int] = {}

    def of(job_id: int) -> int:
        if job_id not in depth:
            depth[job_id] = 1 + max(map(of, nodes[job_id].after), default=-1)
        return depth[job_id]

    ranks: list[list[int]] = [[] for _ in range(1 + max(map(of, nodes)))]
    for job_id in nodes:
        ranks[depth[job_id]].append(job_id)
    return ranks


def _log(name: str, node: NodeRun, now: float) -> str:
    lines = [f"{_time(at)}  {line}" for at, line in node.log if at <= now]
    if not lines:
        return ""
    shown = "\n".join(lines[-200:])
    return (
        f"<details{' open' if node.status in (3, 5, 9) else ''}><summary>{escape(name)} ({len(lines)} lines)</summary>"
        f"<pre>{escape(shown)}</pre></details>"
    )


def _began(node: NodeRun) -> float | None:
    return None if node.status in (1, 2) else node.starts


def _badge(status: int) -> str:
    name, ink, fill = _STATES.get(status, _UNKNOWN)
    return f'<span class="state" style="color:{ink};background:{fill}">{name}</span>'


def _table(head: Iterable[str], rows: str) -> str:
    cells = "".join(f"<th>{escape(name)}</th>" for name in head)
    return f'<div class="scroll"><table><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table></div>'


def _time(at: float | None) -> str:
    return "" if at is None else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}"


def _duration(start: float | None, end: float | None, now: float) -> str:
    return "" if start is None else f"{max(0.0, min(now, end or now) - start):.1f} s"


def _page(title: str, content: str, refresh: bool) -> str:
    again = f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">' if refresh else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)} · SchedulerX emulator</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{again}<style>{_STYLE}</style></head>'
        f'<body><header><p class="note">SchedulerX emulator: a local stand-in, not Alibaba Cloud. Times are UTC.</p>'
        f"<h1>{escape(title)}</h1></header>{content}</body></html>"
    )


def _html(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/html", charset="utf-8")


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else -1
