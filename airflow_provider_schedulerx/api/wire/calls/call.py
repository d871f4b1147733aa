"""What a request to the service is: an operation, its query, and what makes sense of its response."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Generic, TypeVar

from airflow_provider_schedulerx.api import models
from airflow_provider_schedulerx.api.connection.settings import Scope
from airflow_provider_schedulerx.api.parameters import canonical_query

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Operation:
    """:ivar changes: whether carrying it out changes something, so that a lost answer matters."""

    name: str
    method: str
    ram_action: str | None
    changes: bool = False


@dataclass(frozen=True)
class Call(Generic[T_co]):
    """A request that is ready to be signed, as often as it is to be made.

    :ivar query: the parameters, as text, in the order of their names.
    :ivar parse: makes the result from the decoded body; raises
        :class:`~airflow_provider_schedulerx.api.models.MalformedAnswerError`.
    """

    operation: Operation
    query: Mapping[str, str]
    parse: Callable[[Mapping[str, Any]], T_co]

    @cached_property
    def canonical_query(self) -> str:
        """The query as it is signed: sorted by name, and percent-encoded by RFC 3986."""
        return canonical_query(self.query)

    def with_query(self, query: Mapping[str, str]) -> Call[T_co]:
        """The same call with another query."""
        return replace(self, query=query)

    @cached_property
    def target(self) -> str:
        """Path and query as they are sent: the official SDK writes spaces as plus signs, and all else as it signs it."""
        # A percent sign in a value is %25 there, so that %20 is always a space.
        return f"/?{self.canonical_query.replace('%20', '+')}"


def total_of(data: Mapping[str, Any], page_num: int, page_size: int, found: int) -> int:
    """How many records all pages have.

    Where the service does not say it, it is one more than is known as long as pages are full.

    :param found: records of this page.
    """
    total = models.optional_int(data, "Total")
    return (page_num - 1) * page_size + found + (found >= page_size) if total is None else total


def data_of(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """:raises MalformedAnswerError: if there is no ``Data``, or it is no object."""
    return models.mapping_field(body, "Data", "answer")


def data_of_list(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same of an answer with a list. Null is an empty one: the service leaves out what is empty.

    :raises MalformedAnswerError: if there is no ``Data``, or it is something else.
    """
    return {} if body.get("Data", "") is None else data_of(body)


def nothing(body: Mapping[str, Any]) -> None:
    return None


def scoped(scope: Scope, **parameters: str | int | bool | None) -> dict[str, str]:
    scope.require("namespace", "group_id")
    return query_of(
        RegionId=scope.region_id,
        Namespace=scope.namespace,
        NamespaceSource=scope.namespace_source,
        GroupId=scope.group_id,
        **parameters,
    )


def query_of(**parameters: str | int | bool | None) -> dict[str, str]:
    # str also for booleans: the official SDK sends "True" and "False".
    return {name: str(value) for name, value in sorted(parameters.items()) if value is not None}
