"""How a run looks: its DAG as an SVG, its states and tables, for the page in Airflow and for the emulator's console.

Imports nothing of the rest, so that the emulator stays independent of it. Text enters only through ``html.escape``.
"""

from __future__ import annotations

from airflow_provider_schedulerx.drawing.dag import Node, draw
from airflow_provider_schedulerx.drawing.parts import STYLESHEET, badge, table

__all__ = ["STYLESHEET", "Node", "badge", "draw", "table"]
