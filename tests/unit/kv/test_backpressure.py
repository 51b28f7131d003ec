"""How much writers are slowed down."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.kv.backpressure import MAX_PRESSURE, Backpressure, pressure_of


@pytest.mark.parametrize(
    ("files", "trigger", "pressure"),
    [(0, 8, 0.0), (8, 8, 0.0), (9, 8, 1 / 12), (14, 8, 0.5), (20, 8, MAX_PRESSURE), (99, 8, MAX_PRESSURE), (30, 20, 0)],
)
def test_pressure(files: int, trigger: int, pressure: float) -> None:
    assert pressure_of(files, trigger) == pytest.approx(pressure)


@given(st.integers(0, 100), st.integers(0, 100), st.integers(1, 100))
def test_pressure_grows_with_the_files(files: int, more: int, trigger: int) -> None:
    assert 0 <= pressure_of(files, trigger) <= pressure_of(files + more, trigger) < 1


def test_writes_are_refused_where_rocksdb_would_slow_down() -> None:
    state = Backpressure(8)
    state.level0_files = 11
    state.admit(8)
    assert state.pressure == pytest.approx(0.25)
    with pytest.raises(FlussError, match="11 files wait") as raised:
        state.admit(9)
    assert raised.value.code is ErrorCode.STORAGE_BACKPRESSURE_EXCEPTION
    assert raised.value.retriable
    assert (state.pressure, state.rejections) == (0.8, 1)
    state.level0_files = 19
    assert state.pressure == pytest.approx(11 / 12)
    state.level0_files = 3
    assert state.pressure == 0.8, "until a write is let in again"
    state.admit(0)
    assert (state.pressure, state.rejections) == (0.0, 1)
