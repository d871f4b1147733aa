"""Buttons on the task's page that open the run: in the SchedulerX console, and drawn in Airflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

from airflow_provider_schedulerx.run_page import XCOM_CONSOLE_LINK, XCOM_JOB_CONSOLE_LINK
from airflow_provider_schedulerx.version_compat import supervisors, versions

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Context, TaskInstanceKey


class WorkflowInstanceLink(BaseOperatorLink):
    """Opens the workflow instance of a task.

    The URL is pushed to XCom right after the start, so running, failed and succeeded tasks all have it.
    """

    name = "SchedulerX workflow instance"

    @property
    def xcom_key(self) -> str:
        """Where Airflow 3 looks for the URL."""
        return XCOM_CONSOLE_LINK

    @classmethod
    def persist(cls, context: Context, url: str) -> None:
        """Keep the URL for this task instance."""
        context["ti"].xcom_push(key=cls().xcom_key, value=url)

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the URL, or an empty text if nothing was started."""
        return XCom.get_value(key=self.xcom_key, ti_key=ti_key) or ""


class JobInstanceLink(BaseOperatorLink):
    """Opens the job instance of a task, likewise."""

    name = "SchedulerX job instance"

    @property
    def xcom_key(self) -> str:
        """Where Airflow 3 looks for the URL."""
        return XCOM_JOB_CONSOLE_LINK

    @classmethod
    def persist(cls, context: Context, url: str) -> None:
        """Keep the URL for this task instance."""
        context["ti"].xcom_push(key=cls().xcom_key, value=url)

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the URL, or an empty text if nothing was started."""
        return XCom.get_value(key=self.xcom_key, ti_key=ti_key) or ""


class RunPageLink(BaseOperatorLink):
    """Opens the run's page in Airflow, also for people who see no tabs of plugins (roles Viewer and User of FAB)."""

    name = "SchedulerX run"

    @property
    def xcom_key(self) -> str:
        """Where Airflow 3 looks for the URL."""
        return "_link_RunPageLink"

    @classmethod
    def persist(cls, context: Context) -> None:
        """Keep the URL for this task instance. Before Airflow 3.1 there is no page, and nothing to keep."""
        if versions.has_run_page() and supervisors.has_supervisor():
            from airflow_provider_schedulerx.run_page.paths import task_url

            context["ti"].xcom_push(key=cls().xcom_key, value=task_url(context["ti"]))

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the URL, or an empty text if nothing was started."""
        return XCom.get_value(key=self.xcom_key, ti_key=ti_key) or ""


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
    :param log: is told of the URL, or of why it could not be stored.
    """
    try:
        url = console.console_link(definition_id, instance_id, kind.name)
        _CONSOLE_LINKS[kind.name].persist(context, url)
        RunPageLink.persist(context)
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
