"""A batch that is too early is refused with patience, and one that can never be taken in the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.log.log_tablet import LogTablet
from fluss_server.log.stalled_writers import GRACE_PERIOD_MS, MIN_REFUSALS, StalledWriters
from fluss_server.runtime.clock import ManualClock
from log_support import NOW_MS, make_batch, open_log

ERROR = FlussError(ErrorCode.OUT_OF_ORDER_SEQUENCE_EXCEPTION, "sequence 5, the last one is 3")


def test_patience_ends_after_some_time_and_some_refusals() -> None:
    writers = StalledWriters()
    responses = [
        writers.refused(1, GRACE_PERIOD_MS * number // MIN_REFUSALS, ERROR) for number in range(MIN_REFUSALS + 1)
    ]
    assert all(response is ERROR for response in responses[:-1])
    assert responses[-1].code is ErrorCode.UNKNOWN_WRITER_ID_EXCEPTION
    assert not responses[-1].retriable
    quick = [writers.refused(2, GRACE_PERIOD_MS - 1, ERROR) for _ in range(1000)]
    assert all(response is ERROR for response in quick)
    rare = [writers.refused(3, GRACE_PERIOD_MS * number, ERROR) for number in range(MIN_REFUSALS - 1)]
    assert all(response is ERROR for response in rare)


def test_a_batch_in_order_starts_again() -> None:
    writers = StalledWriters()
    for _ in range(MIN_REFUSALS):
        writers.refused(1, 0, ERROR)
    assert writers
    writers.in_order(1)
    assert not writers
    assert writers.refused(1, 2 * GRACE_PERIOD_MS, ERROR) is ERROR


def test_the_number_of_refused_writers_is_bounded() -> None:
    writers = StalledWriters()
    for writer_id in range(100_000):
        writers.refused(writer_id, 0, ERROR)
    assert len(writers._refusals) == 1000


@pytest.mark.parametrize("known", [True, False])
def test_a_client_that_lost_a_batch_gets_out_of_it(tmp_path: Path, known: bool) -> None:
    """It has dropped batch 1 and repeats the later ones until it is told to take a new writer id."""
    clock = ManualClock(NOW_MS)
    log = open_log(tmp_path, clock)
    if known:
        log.append(make_batch(writer_id=1, sequence=0))
    codes: list[ErrorCode] = []
    while ErrorCode.UNKNOWN_WRITER_ID_EXCEPTION not in codes:
        codes += [refusal(log, sequence) for sequence in (2, 3)]
        clock.advance(1000)
        assert len(codes) < 1000
    assert codes[:-2] == [ErrorCode.OUT_OF_ORDER_SEQUENCE_EXCEPTION] * len(codes[:-2])
    assert clock.now_ms() - NOW_MS == GRACE_PERIOD_MS + 1000
    assert log.append(make_batch(writer_id=2, sequence=0)).duplicate is False
    assert log.end_offset == known + 1


def test_a_client_that_repeats_the_batch_that_is_due_is_waited_for(tmp_path: Path) -> None:
    clock = ManualClock(NOW_MS)
    log = open_log(tmp_path, clock)
    for _ in range(100):
        assert refusal(log, 1) is ErrorCode.OUT_OF_ORDER_SEQUENCE_EXCEPTION
        clock.advance(GRACE_PERIOD_MS // 20)
        log._appender._stalled.in_order(1)  # batch 0 came, and the disk was full, for example
    log.append(make_batch(writer_id=1, sequence=0))
    log.append(make_batch(writer_id=1, sequence=1))
    assert not log._appender._stalled


def refusal(log: LogTablet, sequence: int) -> ErrorCode:
    with pytest.raises(FlussError) as caught:
        log.append(make_batch(writer_id=1, sequence=sequence))
    return caught.value.code
