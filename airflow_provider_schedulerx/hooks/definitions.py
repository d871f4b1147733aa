"""The workflow or job that a task names by its id or by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_schedulerx.api.exceptions import SchedulerXConfigurationError
from airflow_provider_schedulerx.api.parameters import check_id, check_literal_id, check_name, is_literal

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.runs.kinds import RunKind
    from airflow_provider_schedulerx.hooks.runs import RunCalls


def check_one_definition(kind: RunKind, definition_id: Any, name: Any) -> None:
    """Check that one of id and name is given.

    :raises SchedulerXConfigurationError: if none is, or both are.
    """
    if (definition_id is None) is not (name is None):
        return
    what = f"{kind.definition_argument} (its id) or {kind.name_argument} (its exact name)"
    raise SchedulerXConfigurationError(
        f"give one of {what} of the {kind.definition_noun}, not both"
        if name is not None
        else f"no {kind.definition_noun} is given: set {what}, and check that its template is not empty",
        field=kind.definition_argument,
    )


def check_literal_definition(kind: RunKind, task: Any) -> None:
    """Check what is written out in the DAG file, which is wrong already when the file is parsed.

    :param task: has the arguments as attributes; a templated one counts as given.
    :raises SchedulerXConfigurationError: naming the argument and the remedy.
    """
    definition_id, name = _arguments(kind, task)
    check_one_definition(kind, definition_id, name)
    if definition_id is not None:
        check_literal_id(kind.definition_argument, definition_id)
    elif is_literal(name):
        check_name(kind.name_argument, name)


def definition_id_of(kind: RunKind, task: Any, calls: RunCalls) -> int:
    """Return the id of what a task names, by its rendered arguments.

    :raises SchedulerXConfigurationError: if they cannot be used, or several definitions have the name.
    :raises SchedulerXNotFoundError: if none has the name.
    """
    definition_id, name = (None if given in ("", "None") else given for given in _arguments(kind, task))
    check_one_definition(kind, definition_id, name)
    if name is None:
        return check_id(kind.definition_argument, definition_id)
    return calls.find_definition(check_name(kind.name_argument, name))


def _arguments(kind: RunKind, task: Any) -> tuple[Any, Any]:
    return getattr(task, kind.definition_argument), getattr(task, kind.name_argument)
