"""Finds the id of a workflow or a job by its name. Ids differ between environments, names need not."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_schedulerx.api.exceptions import (
    SchedulerXConfigurationError,
    SchedulerXNotFoundError,
    SchedulerXRejectedError,
)
from airflow_provider_schedulerx.api.wire import refusals

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.connection.settings import Scope
    from airflow_provider_schedulerx.api.runs.kinds import Definition, RunKind
    from airflow_provider_schedulerx.api.runs.recipes import Recipe
    from airflow_provider_schedulerx.api.wire.calls import Call

D = TypeVar("D", bound="Definition")

#: Pages at most that are searched for names like one that was not found.
_PAGES_OF_HINTS = 10
#: Names that an error lists.
_SHOWN = 5


def list_all(
    page_call: Callable[[int], Call[tuple[Sequence[D], int]]], max_pages: float = float("inf")
) -> Recipe[list[D]]:
    """List all definitions, page by page. Yields calls only; faults are raised.

    :param page_call: makes the call for a page, which are counted from 1.
    """
    found: dict[int, D] = {}
    page_num = 1
    while True:
        page, total = yield page_call(page_num)
        before = len(found)
        found.update((each.definition_id, each) for each in page)
        # A page that brings nothing new ends it, too: a total that is wrong must not loop for ever.
        if len(found) >= total or len(found) == before or page_num >= max_pages:
            return list(found.values())
        page_num += 1


def resolve_recipe(kind: RunKind, scope: Scope, name: str) -> Recipe[int]:
    """Return the id of the one definition that has exactly this name. Yields calls only; other faults are raised.

    The service's filter by name may let more names through, or may not know all characters, so it decides nothing.

    :raises SchedulerXNotFoundError: if there is none; it lists the nearest names with their ids.
    :raises SchedulerXConfigurationError: if there are several, with their ids; or if this edition of the service cannot
        list definitions.
    """
    noun, operation = kind.definition_noun, kind.definitions_operation.name
    try:
        listed = yield from list_all(lambda page_num: kind.definitions_call(scope, page_num, name))
        found = _named(listed, name)
        if not found:
            listed = yield from list_all(
                lambda page_num: kind.definitions_call(scope, page_num, None), _PAGES_OF_HINTS
            )
            found = _named(listed, name)
    except SchedulerXRejectedError as error:
        if not refusals.is_unknown_operation(error.code):
            raise
        raise SchedulerXConfigurationError(
            f"this edition of the service does not have {operation}, so it cannot find a {noun} by its name; set "
            f"{kind.definition_argument} instead of {kind.name_argument}",
            field=kind.name_argument,
            operation=operation,
            code=error.code,
            request_id=error.request_id,
            http_status=error.http_status,
        ) from None
    if len(found) == 1:
        return found[0].definition_id
    where = f"in group {scope.group_id} of namespace {scope.namespace}, region {scope.region_id}"
    if found:
        ids = ", ".join(str(each.definition_id) for each in found)
        raise SchedulerXConfigurationError(
            f"{len(found)} {noun}s are named {name!r} {where}: {ids}. Set {kind.definition_argument} to one of them, or "
            "rename the others",
            field=kind.name_argument,
            operation=operation,
        )
    raise SchedulerXNotFoundError(
        f"no {noun} is named {name!r} {where}; {_nearest(listed, name, noun)}", operation=operation
    )


def _named(listed: Iterable[D], name: str) -> list[D]:
    return [each for each in listed if each.name == name]


def _nearest(listed: Sequence[Definition], name: str, noun: str) -> str:
    if not listed:
        return f"the group has no {noun}s"
    ids: dict[str, list[int]] = {}
    for each in listed:
        if each.name:
            ids.setdefault(each.name, []).append(each.definition_id)
    folded = {known.casefold().strip(): known for known in ids}
    close = difflib.get_close_matches(name.casefold().strip(), folded, n=_SHOWN, cutoff=0.5)
    nearest = [folded[each] for each in close]
    nearest += [known for known in ids if name.casefold() in known.casefold() and known not in nearest]
    if not nearest:
        return f"none of its {len(listed)} {noun}s has a name like it"
    shown = ", ".join(f"{known!r} ({', '.join(map(str, ids[known]))})" for known in nearest[:_SHOWN])
    return f"the nearest {'is' if len(nearest) == 1 else 'are'} {shown}"
