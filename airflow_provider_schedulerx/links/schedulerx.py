"""A button on the task's page that opens the run in the SchedulerX console."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

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
        return "_link_WorkflowInstanceLink"

    @classmethod
    def persist(cls, context: Context, url: str) -> None:
        """Keep the URL for this task instance."""
        context["ti"].xcom_push(key=cls().xcom_key, value=url)

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the URL, or an empty text if nothing was started."""
        return XCom.get_value(key=self.xcom_key, ti_key=ti_key) or ""
