"""A limit for every test: a hang fails with the stack of every thread instead of taking the time of all others.

Examples of property tests have no limits of their own: a busy machine exceeds any. And the garbage collector leaves
alone what was imported: it looked at six thousand tests and their modules again and again, which took a third of the
time to collect them.
"""

from __future__ import annotations

import gc

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("fluss", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fluss")

LIMITS_S = {"flink": 600, "java": 600, "slow": 600}
"""Seconds of a test with one of these marks, with its fixtures: JVMs start, and may download."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        marks = {mark.name for mark in item.iter_markers()}
        if limits := [LIMITS_S[mark] for mark in LIMITS_S.keys() & marks if "timeout" not in marks]:
            item.add_marker(pytest.mark.timeout(max(limits)))


def pytest_collection(session: pytest.Session) -> None:
    gc.disable()


def pytest_collection_finish(session: pytest.Session) -> None:
    gc.freeze()
    gc.enable()
