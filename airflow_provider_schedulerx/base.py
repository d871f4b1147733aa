"""What operators and sensors share: the arguments of connection and scope, and the hook made of them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_schedulerx.exceptions import ArgumentError, SchedulerXConfigurationError
from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook
from airflow_provider_schedulerx.hooks.scoped import DEFAULT_CONN_ID, ScopedMixin
from airflow_provider_schedulerx.version_compat.operators import OperatorMeta

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class _RefusesArguments(OperatorMeta):
    """Has a constructor refuse arguments for good: that of a mapped task is called when the task runs, and Airflow would
    retry what it raises.
    """

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().__call__(*args, **kwargs)
        except SchedulerXConfigurationError as error:
            raise ArgumentError(error.message, field=error.field).with_traceback(
                error.__traceback__
            ) from None


class ScopedOperator(ScopedMixin, BaseOperator, metaclass=_RefusesArguments):
    """A task with a connection to SchedulerX and a scope within it. All five arguments are template fields.

    The mixin alone would not do: ``default_args`` of a DAG and ``partial()`` know only the arguments of classes that are
    operators themselves.
    """

    def __init__(
        self,
        *,
        schedulerx_conn_id: str = DEFAULT_CONN_ID,
        region_id: str | None = None,
        namespace: str | None = None,
        namespace_source: str | None = None,
        group_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            schedulerx_conn_id=schedulerx_conn_id,
            region_id=region_id,
            namespace=namespace,
            namespace_source=namespace_source,
            group_id=group_id,
            **kwargs,
        )

    @cached_property
    def hook(self) -> SchedulerXHook:
        """The hook for this task's connection and scope."""
        return SchedulerXHook.from_task(self)

    def _is_of_another_try(self, context: Context, try_number: int | None) -> bool:
        """Return whether the end of a deferral belongs to another try, so that this one starts from the beginning.

        Airflow 3.0 lets a retry resume with the event of the previous try.

        :param try_number: of the try that has deferred, if that is known.
        """
        if try_number is None or try_number == getattr(context["ti"], "try_number", try_number):
            return False
        self.log.info("The event belongs to try %s, so this try starts from the beginning", try_number)
        return True
