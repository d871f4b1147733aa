"""The page's application, which Airflow's API server mounts. Only it imports this module, and FastAPI with it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from airflow_provider_schedulerx import drawing
from airflow_provider_schedulerx.run_page import content, paths, stored

if TYPE_CHECKING:
    from fastapi import Response

_STATIC = Path(__file__).with_name("static")
_FILES = {
    "run.css": (drawing.STYLESHEET, "text/css"),
    "page.css": (_STATIC / "page.css", "text/css"),
    "run.js": (_STATIC / "run.js", "text/javascript"),
}
#: The frame of Airflow's UI is no security boundary: it has this page's origin, and scripts.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; frame-ancestors 'self'; "
        "base-uri 'none'; form-action 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
#: HTTP status -> title and text of the page that says so.
_REFUSALS = {
    401: (
        "You are not logged in",
        "Your session may have ended. Log in to Airflow, then open this page again.",
    ),
    403: (
        "You may not see this run",
        "You need permission to read the task instances and the XComs of this DAG. Ask your Airflow administrator.",
    ),
    404: ("There is nothing here", "No such task instance or DAG run: it may have been deleted."),
    405: ("This page can only be read", "Open it with GET."),
}
_OTHER_REFUSAL = ("This page cannot be shown", "The log of Airflow's API server says why.")


def make_app() -> FastAPI:
    """Return the application."""
    app = FastAPI(title="SchedulerX runs", docs_url=None, redoc_url=None, openapi_url=None)
    # Both read the DAG from the path, where it has to be called dag_id.
    may_read = [
        Depends(_could_be_there),
        Depends(requires_access_dag("GET", DagAccessEntity.TASK_INSTANCE)),
        Depends(requires_access_dag("GET", DagAccessEntity.XCOM)),
    ]
    app.get("/run/{dag_id}/{task_id}/{map_index}/{run_id:path}", dependencies=may_read)(show_task)
    app.get("/dagrun/{dag_id}/{run_id:path}", dependencies=may_read)(show_dag_run)
    app.get("/static/{name}")(static)
    app.add_exception_handler(StarletteHTTPException, _refuse)
    app.add_exception_handler(Exception, _refuse)
    return app


def _could_be_there(request: Request, dag_id: str) -> None:
    # Airflow reads ~ as "any DAG", which is asked less than each of them. PostgreSQL takes no NUL, and fails.
    if dag_id == "~" or any("\0" in value for value in request.path_params.values()):
        raise HTTPException(HTTPStatus.NOT_FOUND)


def show_task(
    *, request: Request, dag_id: str, task_id: str, map_index: str, run_id: str, session: SessionDep
) -> HTMLResponse:
    """Show the run of a task instance."""
    index = paths.map_index_of(map_index)
    view = None if index is None else stored.task_view(session, dag_id, run_id, task_id, index)
    if index is None or view is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    back = paths.airflow_task_path(dag_id, task_id, index, run_id)
    return _html(request, content.task_part(view, time.time()), back=back)


def show_dag_run(*, request: Request, dag_id: str, run_id: str, session: SessionDep) -> HTMLResponse:
    """Show all runs of a DAG run."""
    found = stored.dag_run_views(session, dag_id, run_id)
    if found is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    views, total, is_over = found
    part = content.dag_run_part(views, total, is_over, time.time(), paths.mount_path())
    return _html(request, part)


def static(name: str) -> FileResponse:
    """Return one of the page's own files. They hold nothing of anyone's, so that no login is asked for."""
    if name not in _FILES:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    path, kind = _FILES[name]
    headers = {**_HEADERS, "Cache-Control": "public, max-age=300"}
    return FileResponse(path, media_type=kind, headers=headers)


def _html(
    request: Request,
    part: str,
    status: int = 200,
    back: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> HTMLResponse:
    """Return a page, or only the part that the page's script asks for."""
    text = part if "part" in request.query_params else content.page(part, paths.mount_path(), back)
    return HTMLResponse(text, status, headers={**(headers or {}), **_HEADERS})


async def _refuse(request: Request, error: Exception) -> Response:
    """Say no with a page: in a frame, JSON helps nobody."""
    status, headers = HTTPStatus.INTERNAL_SERVER_ERROR.value, None
    if isinstance(error, StarletteHTTPException):
        # Some statuses promise a header: Allow, WWW-Authenticate.
        status, headers = error.status_code, error.headers
    title, text = _REFUSALS.get(status, _OTHER_REFUSAL)
    return _html(request, content.refusal(title, text), status, f"{paths.base_path()}/", headers)
