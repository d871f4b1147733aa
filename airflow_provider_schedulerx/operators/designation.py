"""Which worker has to run a job: the arguments of ``ExecuteJob`` that go together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_schedulerx import api
from airflow_provider_schedulerx.api.exceptions import SchedulerXConfigurationError
from airflow_provider_schedulerx.api.parameters import check_choice

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.wire.calls import Designation

DesignateType = Literal["worker", "label"]

#: The service's codes (API page "ExecuteJob").
_CODES: dict[DesignateType, int] = {"worker": 1, "label": 2}


def check_designation(designate_type: Any, worker: Any, worker_label: Any) -> Designation | None:
    """Return the worker or the label that has to run a job; None lets the service choose.

    :raises SchedulerXConfigurationError: if the three do not go together, naming the one to correct.
    """
    given: dict[DesignateType, tuple[str, Any]] = {
        "worker": ("worker", worker),
        "label": ("worker_label", worker_label),
    }
    if designate_type is None:
        for kind, (name, value) in given.items():
            if value is not None:
                raise SchedulerXConfigurationError(
                    f"{name} is set, but designate_type is not: set designate_type={kind!r}, or leave {name} out",
                    field="designate_type",
                )
        return None
    wanted: DesignateType = check_choice("designate_type", designate_type, DesignateType)
    name, value = given.pop(wanted)
    if not isinstance(value, str) or not value.strip() or value == "None":
        raise SchedulerXConfigurationError(
            f"designate_type is {wanted!r}, but {name} is {value!r:.80}: set {name}, or leave designate_type out",
            field=name,
        )
    for other, (other_name, other_value) in given.items():
        if other_value is not None:
            raise SchedulerXConfigurationError(
                f"designate_type is {wanted!r}, so {other_name} is not used: leave it out, or set "
                f"designate_type={other!r}",
                field=other_name,
            )
    return api.calls.Designation(_CODES[wanted], **{wanted: value})
