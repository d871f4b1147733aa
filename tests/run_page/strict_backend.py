"""A backend for XComs as people write them: it takes and clears what it knows, and fails on anything else."""

from __future__ import annotations

from typing import Any

try:
    from airflow.sdk.bases.xcom import BaseXCom
except ImportError:
    from airflow.models.xcom import BaseXCom  # type: ignore[no-redef]  # of Airflow 2

from airflow_provider_schedulerx.run_page import XCOM_RUN


class StrictBackend(BaseXCom):
    """Would upload a snapshot or a link to a store that is away."""

    @staticmethod
    def serialize_value(value: Any, *, key: str | None = None, **others: Any) -> Any:
        if key == XCOM_RUN or str(key).startswith("_link_"):
            raise ConnectionError("the store for XComs is away")
        return BaseXCom.serialize_value(value, key=key, **others)

    @classmethod
    def purge(cls, xcom: Any, *arguments: Any) -> None:
        value = xcom.value
        if isinstance(value, dict):
            raise TypeError(f"cannot clear {value!r}")
