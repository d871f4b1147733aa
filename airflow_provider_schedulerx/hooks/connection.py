"""Mixin that gives the hook its connection: the settings read from it, and the connection test."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from airflow_provider_schedulerx import api
from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXConfigurationError,
    SchedulerXError,
    SchedulerXNotFoundError,
    SchedulerXRejectedError,
)
from airflow_provider_schedulerx.hooks.scoped import ScopedMixin
from airflow_provider_schedulerx.version_compat import connections

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseHook, Connection

    from airflow_provider_schedulerx.api.connection.settings import SchedulerXSettings, Scope
    from airflow_provider_schedulerx.api.wire.transport import SyncTransport

    _Hook = BaseHook
else:
    _Hook = object

# Unknown fields that this process has warned of: a task makes several hooks, a triggerer thousands.
_warned: set[tuple[str, str]] = set()


class ConnectionMixin(ScopedMixin, _Hook):
    """Looks the connection up, checks it, and says what is wrong with it."""

    if TYPE_CHECKING:

        @property
        def single_try_transport(self) -> SyncTransport: ...

    @cached_property
    def settings(self) -> SchedulerXSettings:
        """The connection and the arguments, checked and put together.

        :raises SchedulerXConfigurationError: naming the field that is wrong, and the remedy.
        """
        connection = self.get_connection(self.schedulerx_conn_id)
        settings = self._checked(connection)
        _ = connection.extra_dejson  # masks what Airflow takes for secrets
        for secret in settings.secrets:
            connections.mask_secret(secret)
        return settings

    async def aget_settings(self) -> SchedulerXSettings:
        """:attr:`settings`, looked up without blocking the event loop; both know it then.

        :raises SchedulerXConfigurationError: naming the field that is wrong, and the remedy.
        """
        if "settings" not in self.__dict__:
            connection, _ = await connections.aget_connection(self.schedulerx_conn_id)
            settings = self._checked(connection)
            for secret in settings.secrets:
                await connections.amask_secret(secret)
            self.__dict__["settings"] = settings
        return self.settings

    def _checked(self, connection: Connection) -> SchedulerXSettings:
        try:
            settings = api.settings.SchedulerXSettings.from_connection(
                conn_type=connection.conn_type,
                login=connection.login,
                password=connection.password,
                host=connection.host,
                port=connection.port,
                # The text, not extra_dejson, which makes an empty extra of one that is not JSON.
                extra=connection.extra,
                region_id=self.region_id,
                namespace=self.namespace,
                namespace_source=self.namespace_source,
                group_id=self.group_id,
            )
        except SchedulerXConfigurationError as error:
            raise SchedulerXConfigurationError(
                f"connection {self.schedulerx_conn_id!r}: {error.message}", field=error.field
            ) from None
        self._warn_of_unknown_fields(settings)
        return settings

    def _warn_of_unknown_fields(self, settings: SchedulerXSettings) -> None:
        fields = api.fields.describe_unknown(settings.unknown_fields)
        if fields and (self.schedulerx_conn_id, fields) not in _warned:
            _warned.add((self.schedulerx_conn_id, fields))
            self.log.warning("Connection %r: %s", self.schedulerx_conn_id, fields)

    @property
    def scope(self) -> Scope:
        """Region, namespace and group of every call."""
        return self.settings.scope

    def test_connection(self) -> tuple[bool, str]:
        """Make a real, signed call that only reads.

        :return: whether a task would work with this connection and the hook's arguments, and nothing else; and
            sentences for people that say what to correct if not, and which fields of the connection are not used.
        """
        settings: SchedulerXSettings | None = None
        try:
            settings = self.settings
            found, works = self._look_around(settings), not settings.scope.missing
        except SchedulerXError as error:
            found, works = f"{str(error).rstrip('.')}.", False
        except Exception as error:
            # The connection itself could not be fetched, say: its text is Airflow's and holds no secret.
            return False, f"{type(error).__name__}: {error}"
        return works, " ".join([found, *_remarks(settings)])

    def _look_around(self, settings: SchedulerXSettings) -> str:
        """What a read finds.

        :raises SchedulerXError: if it fails.
        """
        scope, transport = settings.scope, self.single_try_transport
        if scope.missing:
            namespaces = transport.perform(api.calls.list_namespaces(scope))
            return f"Connected to {settings.endpoint}: {len(namespaces)} namespaces in {scope.region_id}."
        where = f"namespace {scope.namespace}, group {scope.group_id}, region {scope.region_id}"
        try:
            _, total = transport.perform(api.calls.list_workflows(scope, page_num=1, page_size=1))
        except SchedulerXRejectedError as error:
            if not (error.code or "").startswith("InvalidAction"):
                raise
            self._ask_for_no_workflow(scope, transport)
            return (
                f"Connected to {settings.endpoint}: {where}. This edition of the service does not have ListWorkFlows "
                "(it exists since December 2025), which tasks do not need."
            )
        return f"Connected to {settings.endpoint}: {total} workflows in {where}."

    @staticmethod
    def _ask_for_no_workflow(scope: Scope, transport: SyncTransport) -> None:
        """Ask for a workflow that cannot exist.

        :raises SchedulerXError: if the answer is not that it does not.
        """
        try:
            transport.perform(api.calls.get_workflow(scope, api.parameters.MAX_ID))
        except SchedulerXNotFoundError as error:
            if "group" in (error.service_message or "").lower():
                raise


def _remarks(settings: SchedulerXSettings | None) -> list[str]:
    """What a person should know besides of a connection that could be read."""
    if settings is None:
        return []
    missing = settings.scope.missing
    names, verb = " and ".join(missing), "are" if len(missing) > 1 else "is"
    said = f"{names} {verb} not set: set {names} in the connection's extra, or in every task that uses it."
    return [
        each
        for each in (said if missing else "", api.fields.describe_unknown(settings.unknown_fields))
        if each
    ]
