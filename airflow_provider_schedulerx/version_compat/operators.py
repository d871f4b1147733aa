"""The class of all classes of operators, which each version of Airflow has in a place of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import BaseOperator

if TYPE_CHECKING:
    from airflow.sdk.bases.operator import BaseOperatorMeta as OperatorMeta
else:
    OperatorMeta = type(BaseOperator)

__all__ = ["OperatorMeta"]
