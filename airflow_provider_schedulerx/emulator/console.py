"""Pages for people: what the emulator runs, and each run as a drawn DAG. HTML from the server, no script."""

from __future__ import annotations

from datetime import datetime, tzinfo
from html import escape

from aiohttp import web

from airflow_provider_schedulerx.drawing import STYLESHEET, Node, badge, draw, table
from airflow_provider_schedulerx.emulator.arguments import WORKER
from airflow_provider_schedulerx.emulator.definitions import Job, Workflow
from airflow_provider_schedulerx.emulator.engine import Engine
from airflow_provider_schedulerx.emulator.instances import InstanceRun, NodeRun

#: Seconds after which a page of a run that is active loads itself again.
REFRESH_SECONDS = 2
_SHOWN_RUNS = 50

#: status -> what it is called.
_STATES = {
    **{1: "WAITING", 2: "READY", 3: "RUNNING", 4: "SUCCESS", 5: "FAILED", 6: "KILLED", 9: "REJECTED"},
    **{11: "PARTIAL_FAILED", 12: "SKIPPED"},
}

#: What the console has beside the drawing's own stylesheet.
_STYLE = """
body { margin: 0 auto; padding: 1rem; max-width: 62rem; }
header { border-bottom: 1px solid var(--line); margin-bottom: 1rem; }
h1 { font-size: 1.3rem; margin: .5rem 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: .5rem 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
pre { background: #0f172a; color: #e2e8f0; padding: .7rem; border-radius: .4rem; overflow-x: auto; font-size: .8rem; }
summary { cursor: pointer; padding: .3rem 0; }
"""


def routes(app: web.Application, engine: Engine) -> None:
    """Add the pages to an application, below ``/console``."""

    async def index(http: web.Request) -> web.Response:
        engine.advance_all()
        return _html(index_page(engine))

    async def run(http: web.Request) -> web.Response:
        found = engine.instances.get(_number(http.match_info["instance_id"]))
        definition = None if found is None else engine.definition_of(found)
        if found is None or definition is None or found.key[1] != _number(http.match_info["definition_id"]):
            raise web.HTTPNotFound(text="There is no such run.")
        engine.advance(definition)
        return _html(run_page(definition, found, engine.now(), engine.zone))

    app.router.add_get("/console", index)
    app.router.add_get("/console/", index)
    app.router.add_get("/console/{definition_id}/{instance_id}", run)


def index_page(engine: Engine) -> str:
    """All workflows and jobs, and their newest runs."""
    parts = []
    for definition in engine.definitions:
        kind, number = definition.key
        runs = engine.runs_of(definition)
        rows = [
            (
                f'<a href="/console/{number}/{run.wf_instance_id}">{run.wf_instance_id}</a>',
                _badge(run.status),
                _time(run.started, engine.zone),
                _time(run.ended, engine.zone),
            )
            for run in reversed(runs[-_SHOWN_RUNS:])
        ]
        listed = (
            table((f"{kind.title()} instance", "State", "Start", "End"), rows)
            if rows
            else '<p class="note">No runs yet.</p>'
        )
        parts.append(f"<h2>{escape(definition.name)} ({kind} {number})</h2>{listed}")
    return _page("Workflows and jobs", "".join(parts), engine.zone, refresh=True)


def run_page(definition: Workflow | Job, run: InstanceRun, now: float, zone: tzinfo) -> str:
    """One run: the DAG of a workflow, its nodes and their logs."""
    kind, number = definition.key
    facts = [
        (kind.title(), f"{definition.name} ({number})"),
        ("Namespace, group", f"{definition.namespace}, {definition.group}"),
        ("Parameters", run.parameters or "none"),
        ("Start", _time(run.started, zone)),
        ("End", _time(run.ended, zone)),
        ("Duration", _duration(run.started, run.ended, now)),
    ]
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts)
    rows = [
        (
            escape(node.definition.name),
            _badge(node.status),
            str(node.attempt),
            _time(_began(node), zone),
            _duration(_began(node), node.ends, now),
            (run.worker or WORKER) if _began(node) else "",
            escape(node.result),
        )
        for node in run.nodes.values()
    ]
    logs = "".join(_log(node.definition.name, node, now, zone) for node in run.nodes.values())
    dag = (
        f"<h2>DAG</h2><div class='scroll'>{_drawing(run, now)}</div><h2>Nodes</h2>"
        if kind == "workflow"
        else ""
    )
    return _page(
        f"{kind.title()} instance {run.wf_instance_id}",
        f"<p>{_badge(run.status)}</p><dl>{listed}</dl>"
        f"{dag}{table(('Node' if dag else 'Job', 'State', 'Attempt', 'Start', 'Duration', 'Worker', 'Result'), rows)}"
        f"<h2>Logs</h2>{logs}"
        '<p><a href="/console/">All workflows and jobs</a></p>',
        zone,
        refresh=run.is_active,
    )


def _drawing(run: InstanceRun, now: float) -> str:
    index_of = {job_id: index for index, job_id in enumerate(run.nodes)}
    return draw(
        [
            Node(
                name=node.definition.name,
                state=_state(node.status),
                after=tuple(index_of[before] for before in node.definition.after),
                detail=_duration(_began(node), node.ends, now),
                tooltip=f"{node.definition.name} (job {job_id}): {_state(node.status)}",
            )
            for job_id, node in run.nodes.items()
        ]
    )


def _log(name: str, node: NodeRun, now: float, zone: tzinfo) -> str:
    lines = [f"{_time(at, zone)}  {line}" for at, line in node.log if at <= now]
    if not lines:
        return ""
    shown = "\n".join(lines[-200:])
    return (
        f"<details{' open' if node.status in (3, 5, 6, 9, 11) else ''}><summary>{escape(name)} ({len(lines)} lines)</summary>"
        f"<pre>{escape(shown)}</pre></details>"
    )


def _began(node: NodeRun) -> float | None:
    return None if node.status in (1, 2) else node.starts


def _state(status: int) -> str:
    return _STATES.get(status, f"UNKNOWN_{status}")


def _badge(status: int) -> str:
    return badge(_state(status))


def _time(at: float | None, zone: tzinfo) -> str:
    return "" if at is None else f"{datetime.fromtimestamp(at, zone):%Y-%m-%d %H:%M:%S}"


def _duration(start: float | None, end: float | None, now: float) -> str:
    return "" if start is None else f"{max(0.0, min(now, end or now) - start):.1f} s"


def _page(title: str, content: str, zone: tzinfo, *, refresh: bool) -> str:
    again = f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">' if refresh else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)} · SchedulerX emulator</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{again}<style>{STYLESHEET.read_text()}{_STYLE}</style></head>'
        f'<body><header><p class="note">SchedulerX emulator: a local stand-in, not Alibaba Cloud. Times are those of the service: {zone}.</p>'
        f"<h1>{escape(title)}</h1></header>{content}</body></html>"
    )


def _html(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/html", charset="utf-8")


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else -1
