"""Buttons on the task's page that open the run: in the SchedulerX console, and drawn in Airflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

from airflow_provider_schedulerx.run_page import XCOM_CONSOLE_LINK, XCOM_JOB_CONSOLE_LINK
from airflow_provider_schedulerx.version_compat import supervisors, versions, xcoms

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Context, TaskInstanceKey


class _StoredLink(BaseOperatorLink):
    """The URL is stored right after the start, so running, failed and succeeded tasks all have it."""

    @classmethod
    def persist(cls, context: Context, url: str) -> None:
        """Keep the URL for this task instance.

        Airflow's API server reads it from the database as it is, so no XCom backend may turn it into something else.
        """
        ti = context["ti"]
        if _is_stored_directly():
            xcoms.store_xcom(_key_of(ti), cls().xcom_key, url)
        else:
            ti.xcom_push(key=cls().xcom_key, value=url)

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the URL, or an empty text if nothing was started."""
        if _is_stored_directly():
            return xcoms.load_xcom(_key_of(ti_key), self.xcom_key) or ""
        return XCom.get_value(key=self.xcom_key, ti_key=ti_key) or ""


def _is_stored_directly() -> bool:
    return versions.has_run_page() and supervisors.has_supervisor()


def _key_of(ti: Any) -> dict[str, Any]:
    return {name: getattr(ti, name) for name in ("dag_id", "task_id", "run_id", "map_index")}


class WorkflowInstanceLink(_StoredLink):
    """Opens the workflow instance of a task."""

    name = "SchedulerX workflow instance"

    @property
    def xcom_key(self) -> str:
        """Where Airflow 3 looks for the URL."""
        return XCOM_CONSOLE_LINK


class JobInstanceLink(_StoredLink):
    """Opens the job instance of a task, likewise."""

    name = "SchedulerX job instance"

    @property
    def xcom_key(self) -> str:
        """Where Airflow 3 looks for the URL."""
        return XCOM_JOB_CONSOLE_LINK


class RunPageLink(_StoredLink):
    """Opens the run's page in Airflow, also for people who see no tabs of plugins (roles Viewer and User of FAB)."""

    name = "SchedulerX run"

    @property
    def xcom_key(self) -> str:
        """Where Airflow 3 looks for the URL."""
        return "_link_RunPageLink"


class _Console(Protocol):
    """What knows where a run is shown in the console: the hook."""

    def console_link(self, definition_id: int, instance_id: int, kind: str) -> str: ...


class _Kind(Protocol):
    """A kind of run."""

    @property
    def name(self) -> str: ...

    @property
    def instance_noun(self) -> str: ...


def persist_links(
    context: Context, console: _Console, kind: _Kind, definition_id: int, instance_id: int, *, log: Any
) -> None:
    """Keep the URLs of all links of a run for this task instance. A link is never worth a failed task.

    :param console: the hook.
    :param log: a logger, for the URL, or for why it could not be stored.
    """
    try:
        url = console.console_link(definition_id, instance_id, kind.name)
        _CONSOLE_LINKS[kind.name].persist(context, url)
        if _is_stored_directly():
            from airflow_provider_schedulerx.run_page.paths import task_url

            RunPageLink.persist(context, task_url(context["ti"]))
    except Exception as error:
        log.warning("The link to the console could not be stored: %s: %s", type(error).__name__, error)
    else:
        log.info("%s %s in the console: %s", kind.instance_noun.capitalize(), instance_id, url)


_CONSOLE_LINKS: dict[str, type[WorkflowInstanceLink] | type[JobInstanceLink]] = {
    "workflow": WorkflowInstanceLink,
    "job": JobInstanceLink,
}
_PAGE_LINKS: tuple[BaseOperatorLink, ...] = (RunPageLink(),) if versions.has_run_page() else ()

#: What an operator or sensor that follows a run of a workflow has as ``operator_extra_links``.
RUN_LINKS: tuple[BaseOperatorLink, ...] = (WorkflowInstanceLink(), *_PAGE_LINKS)
#: The same for a run of a job.
JOB_LINKS: tuple[BaseOperatorLink, ...] = (JobInstanceLink(), *_PAGE_LINKS)
