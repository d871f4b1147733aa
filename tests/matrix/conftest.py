"""A world in virtual time, for what was found beside the matrix."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_schedulerx.emulator import profile as profiles
from dev.experiments import matrix
from dev.experiments.inprocess import LocalService
from dev.experiments.scenarios import Variant, World, workflows
from dev.experiments.virtual import VirtualClock

#: A run of ten seconds, which ends before its lost answer is given up.
SHORT = 9


def definitions() -> dict[str, Any]:
    known = workflows()
    nodes = [{"name": "a", "duration": 6}, {"name": "b", "after": "a", "duration": 4}]
    known["workflows"].append({**known["workflows"][0], "id": SHORT, "nodes": nodes})
    return known


@pytest.fixture
def make() -> Iterator[Callable[..., World]]:
    """A world with three older runs, in which the service and the virtual clock are in force."""
    with matrix.silenced():

        def make_world(
            *,
            deferrable: bool = False,
            marker: bool = False,
            parameters: bool = True,
            job: bool = False,
            profile: str = "documented",
        ) -> World:
            clock = VirtualClock()
            service = LocalService(definitions(), profiles.parse(profile), clock, 1)
            return World(
                service,
                clock,
                Variant(deferrable, parameters, marker=marker, history=3, job=job),
                random.Random(1),
            )

        yield make_world
