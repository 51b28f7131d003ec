"""The limit of open files, and the connections it leaves room for."""

from __future__ import annotations

import resource

import pytest

from fluss_server.runtime.open_files import connections_for, raise_open_files_limit


@pytest.mark.parametrize(
    ("wanted", "open_files", "connections"),
    [
        (16_000, 1 << 20, 16_000),
        (16_000, 20_000, 16_000),
        (16_000, 10_000, 6_000),
        (16_000, 1_024, 512),
        (10, 1_024, 10),
    ],
)
def test_connections_leave_room_for_files(wanted: int, open_files: int, connections: int) -> None:
    assert connections_for(wanted, open_files) == connections


def test_the_soft_limit_is_raised() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before[0] - 1, before[1]))
        raised = raise_open_files_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
        assert raised == (1 << 20 if before[1] == resource.RLIM_INFINITY else before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
