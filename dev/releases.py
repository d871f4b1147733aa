"""The versions of Airflow that the tests run on, and what they are run with; for ``noxfile.py`` and for CI's own case."""

from __future__ import annotations

from typing import NamedTuple


class Release(NamedTuple):
    """:ivar day: shortly after its release; :ivar pythons: the lowest (ours is 3.11) and the highest it supports."""

    day: str
    pythons: tuple[str, ...]


RELEASES = {
    "2.11.2": Release("2026-03-28", ("3.11", "3.12")),
    "3.0.6": Release("2025-09-12", ("3.11", "3.12")),
    "3.1.8": Release("2026-03-25", ("3.11", "3.13")),
    "3.2.2": Release("2026-06-12", ("3.11", "3.13", "3.14")),
    "3.3.2": Release("2026-10-01", ("3.11", "3.13", "3.14")),
}
NEWEST = "3.3.2"

#: What the tests need besides Airflow and the provider.
TEST = (
    *("pytest>=8.3", "pytest-xdist>=3.6", "hypothesis>=6.100", "jsonschema", "allpairspy>=2.5"),
    *("alibabacloud-schedulerx220190430==2.2.3", "aliyun-python-sdk-schedulerx2==1.1.16"),
)
#: What an Airflow on PostgreSQL needs besides.
DRIVERS = ("psycopg2-binary>=2.9", "asyncpg>=0.30")
