"""The history of leader epochs: its rules, its file, and examples of where logs diverge."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from random import Random

import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.log.file_names import LEADER_EPOCHS
from fluss_server.log.leader_epochs import (
    MAX_EPOCHS,
    UNKNOWN_EPOCH,
    EpochStart,
    LeaderEpochs,
    decode_epochs,
    divergence,
    encode_epochs,
)
from fluss_server.simulation.disk import SimulatedDisk

DIRECTORY = PurePosixPath("/log-0")
PATH = DIRECTORY / LEADER_EPOCHS


def history(*pairs: tuple[int, int]) -> tuple[EpochStart, ...]:
    return tuple(EpochStart(*pair) for pair in pairs)


@contextmanager
def fenced() -> Iterator[None]:
    with pytest.raises(FlussError) as caught:
        yield
    assert caught.value.code is ErrorCode.FENCED_LEADER_EPOCH_EXCEPTION


@pytest.fixture
def disk(tmp_path: Path) -> SimulatedDisk:
    disk = SimulatedDisk(tmp_path, Random(1))
    disk.view().make_directories(DIRECTORY)
    return disk


def opened(disk: SimulatedDisk, start: int = 0, end: int = 0) -> LeaderEpochs:
    epochs = LeaderEpochs(DIRECTORY, disk.view())
    epochs.load(start, end)
    return epochs


# ---------------------------------------------------------------- where logs diverge


@pytest.mark.parametrize(
    ("own", "own_end", "leaders", "leader_end", "expected"),
    [
        ([(0, 0)], 10, [(0, 0)], 20, 10),
        ([(0, 0)], 20, [(0, 0)], 10, 10),
        # The own log has more of epoch 0 than the next leader had when it began.
        ([(0, 0)], 20, [(0, 0), (1, 15)], 30, 15),
        # An epoch that never reached the leader.
        ([(0, 0), (1, 15)], 20, [(0, 0), (2, 12)], 30, 12),
        ([(0, 0), (1, 12)], 20, [(0, 0), (2, 15)], 30, 12),
        # The newest epoch in common counts, whatever was before it in only one of the logs.
        ([(3, 10), (4, 12)], 20, [(0, 0), (3, 10), (4, 12), (6, 18)], 30, 18),
        # The same epoch begins elsewhere: it was begun a second time after its records were lost.
        ([(4, 0), (5, 100)], 110, [(4, 0), (5, 90)], 120, 90),
        # An entry without a record, at the end of a log or after it.
        ([(0, 0), (1, 10)], 10, [(0, 0), (1, 10)], 20, 10),
        ([(0, 0), (1, 10)], 8, [(0, 0), (1, 10)], 20, 8),
        # Nothing in common, or nothing of which that is known.
        ([(0, 0)], 10, [(1, 0)], 20, None),
        ([], 0, [(0, 0)], 20, None),
        ([(0, 0)], 10, [], 0, None),
        ([(UNKNOWN_EPOCH, 0)], 10, [(UNKNOWN_EPOCH, 0)], 20, None),
        ([(UNKNOWN_EPOCH, 0), (3, 7)], 10, [(UNKNOWN_EPOCH, 0), (3, 7)], 20, 10),
    ],
)
def test_where_two_logs_diverge(
    own: list[tuple[int, int]], own_end: int, leaders: list[tuple[int, int]], leader_end: int, expected: int | None
) -> None:
    assert divergence(history(*own), own_end, history(*leaders), leader_end) == expected


# ---------------------------------------------------------------- a leader


def test_a_leader_records_its_epoch_before_it_appends(disk: SimulatedDisk) -> None:
    epochs = opened(disk)
    epochs.begin(3, 0, 0, may_continue=False)
    disk.lose_power()
    assert opened(disk, 0, 0).entries == history((3, 0))
    epochs = opened(disk, 0, 10)
    epochs.begin(5, 0, 10, may_continue=False)
    epochs.begin(5, 0, 12, may_continue=False)
    assert epochs.entries == history((3, 0), (5, 10))
    epochs.begin(6, 0, 10, may_continue=False)  # nothing was appended in epoch 5
    assert epochs.entries == history((3, 0), (6, 10))
    disk.lose_power()
    assert opened(disk, 0, 10).entries == epochs.entries


def test_an_epoch_is_begun_once(disk: SimulatedDisk) -> None:
    epochs = opened(disk)
    epochs.begin(3, 0, 0, may_continue=False)
    with fenced():
        epochs.begin(2, 0, 5, may_continue=False)
    for end in (20, 0):  # all of its records are there, or none
        epochs = opened(disk, 0, end)
        with fenced():
            epochs.begin(3, 0, end, may_continue=False)
    epochs = opened(disk, 0, 7)
    epochs.begin(3, 0, 7, may_continue=True)
    assert epochs.entries == history((3, 0))
    epochs.begin(4, 0, 7, may_continue=False)
    epochs = opened(disk, 0, 5)  # records before the epoch are lost
    assert epochs.entries == history((3, 0))
    with fenced():
        epochs.begin(4, 0, 5, may_continue=False)
    epochs.begin(4, 0, 5, may_continue=True)
    assert epochs.entries == history((3, 0), (4, 5))


def test_a_former_leader_does_not_begin_its_epoch_again(disk: SimulatedDisk) -> None:
    epochs = opened(disk)
    epochs.begin(3, 0, 0, may_continue=False)
    epochs.follow(history((3, 0), (4, 10)), 0, [10], 15)
    epochs.truncate(0, 10)
    with fenced():
        epochs.begin(3, 0, 10, may_continue=False)


def test_a_begin_that_fails_can_be_repeated(disk: SimulatedDisk) -> None:
    epochs = opened(disk)
    disk.fail_next("write", ".tmp", errno.ENOSPC)
    with pytest.raises(OSError, match="No space"):
        epochs.begin(3, 0, 0, may_continue=False)
    assert epochs.entries == ()
    epochs.begin(3, 0, 0, may_continue=False)
    assert opened(disk).entries == history((3, 0))


# ---------------------------------------------------------------- a follower


def test_a_follower_records_what_it_reaches(disk: SimulatedDisk) -> None:
    leaders = history((0, 0), (2, 5), (3, 10))
    epochs = opened(disk)
    epochs.follow(leaders, 0, [0, 3], 5)
    assert epochs.entries == history((0, 0))
    epochs.follow(leaders, 0, [5, 8], 10)
    assert opened(disk, 0, 5).entries == history((0, 0), (2, 5))
    epochs.follow(leaders, 0, [10], 12)
    disk.lose_power()
    assert opened(disk, 0, 12).entries == leaders


def test_a_follower_that_begins_at_the_log_start_of_its_leader(disk: SimulatedDisk) -> None:
    epochs = opened(disk, 50, 50)
    epochs.follow(history((2, 20), (3, 60)), 50, [50, 60], 70)
    assert epochs.entries == history((2, 20), (3, 60))
    epochs = opened(disk, 80, 80)  # what the file has is about records that are gone
    epochs.follow(history((4, 80)), 80, [80], 90)
    assert epochs.entries == history((4, 80))


def test_a_leader_may_have_forgotten_what_its_follower_knows(disk: SimulatedDisk) -> None:
    """It has deleted everything below the follower's end."""
    epochs = opened(disk)
    epochs.begin(0, 0, 0, may_continue=False)
    epochs.follow(history((1, 10)), 0, [10], 12)
    assert epochs.entries == history((0, 0), (1, 10))


@pytest.mark.parametrize(
    "leaders",
    [
        [],
        [(0, 0), (1, 5)],  # the own records from 5 to 10 are of epoch 0
        [(1, 0)],
        [(0, 1)],
        [(1, 11)],  # nothing is known of offset 10
        [(0, 0), (1, 11)],  # not the beginning of a batch
        [(0, 0), (2, 10), (1, 12)],
        [(0, 0), (0, 10)],
    ],
)
def test_a_history_that_does_not_continue_the_own_one_is_refused(
    disk: SimulatedDisk, leaders: Sequence[tuple[int, int]]
) -> None:
    epochs = opened(disk)
    epochs.begin(0, 0, 0, may_continue=False)
    with fenced():
        epochs.follow(history(*leaders), 0, [10, 12], 14)
    assert epochs.entries == history((0, 0))
    epochs.follow(history((0, 0), (1, 12)), 0, [10, 12], 14)
    assert epochs.entries == history((0, 0), (1, 12))


def test_after_a_truncation_the_file_is_written_before_the_next_record(disk: SimulatedDisk) -> None:
    epochs = opened(disk)
    epochs.follow(history((0, 0), (1, 10), (2, 20)), 0, [0, 10, 20], 30)
    epochs.truncate(0, 10)
    assert epochs.entries == history((0, 0))
    assert epochs.is_stale
    assert opened(disk, 0, 15).entries == history((0, 0), (1, 10))  # its records are not in the log either
    epochs.save()
    assert not epochs.is_stale
    assert opened(disk, 0, 15).entries == history((0, 0))
    epochs.truncate(10, 10)
    assert epochs.entries == ()


# ---------------------------------------------------------------- the file


def test_entries_below_the_log_start_are_forgotten_but_for_the_newest(disk: SimulatedDisk) -> None:
    epochs = opened(disk)
    epochs.follow(history((0, 0), (1, 10), (2, 20)), 0, [0, 10, 20], 30)
    for start, expected in ((9, 0), (10, 1), (19, 1), (20, 2), (29, 2)):
        assert epochs.known(start, 30) == history((0, 0), (1, 10), (2, 20))[expected:]
        assert opened(disk, start, 30).entries == epochs.known(start, 30)


def test_entries_after_the_log_end_are_dropped(disk: SimulatedDisk) -> None:
    epochs = opened(disk)
    epochs.follow(history((0, 0), (1, 10), (2, 20)), 0, [0, 10, 20], 30)
    epochs = opened(disk, 0, 15)
    assert epochs.entries == history((0, 0), (1, 10))
    assert epochs.is_stale
    epochs.save()
    assert opened(disk, 0, 30).entries == history((0, 0), (1, 10))
    assert not opened(disk, 0, 30).is_stale


@pytest.mark.parametrize("damage", ["missing", "damaged", "empty", "too short"])
def test_a_history_that_is_lost_is_unknown(disk: SimulatedDisk, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    opened(disk).begin(3, 0, 0, may_continue=False)
    view = disk.view()
    if damage == "missing":
        view.remove(PATH)
    elif damage == "damaged":
        disk.flip_bit(PATH, 17, 2)
    else:
        view.open(PATH).truncate(0 if damage == "empty" else 11)
    with caplog.at_level(logging.ERROR):
        epochs = opened(disk, 5, 10)
    assert epochs.entries == history((UNKNOWN_EPOCH, 5))
    assert ("is damaged" in caplog.text) == (damage != "missing")
    epochs.begin(7, 5, 10, may_continue=False)
    assert opened(disk, 6, 12).entries == history((UNKNOWN_EPOCH, 5), (7, 10))
    assert opened(disk, 10, 12).entries == history((7, 10))


def test_an_empty_log_needs_no_history(disk: SimulatedDisk) -> None:
    assert opened(disk, 0, 0).entries == ()
    assert opened(disk, 7, 7).entries == ()
    assert not disk.view().exists(PATH)


def test_the_file_image() -> None:
    image = encode_epochs(history((UNKNOWN_EPOCH, 0), (3, 1 << 40)))
    assert image[:-4].hex() == ("466c7573734c453102000000ffffffff0000000000000000030000000000000000010000")
    assert decode_epochs(image) == history((UNKNOWN_EPOCH, 0), (3, 1 << 40))
    for entries in ([(3, 5), (3, 6)], [(3, 5), (4, 5)], [(3, 5), (4, 4)], [(3, 5), (2, 6)], [(-2, 0)], [(0, -1)]):
        assert decode_epochs(encode_epochs(history(*entries))) is None


def test_a_history_is_bounded(disk: SimulatedDisk) -> None:
    entries = history(*((number, 2 * number) for number in range(MAX_EPOCHS)))
    disk.view().replace_file(PATH, encode_epochs(entries))
    epochs = opened(disk, 0, 2 * MAX_EPOCHS)
    epochs.begin(MAX_EPOCHS, 0, 2 * MAX_EPOCHS, may_continue=False)
    assert len(epochs.entries) == MAX_EPOCHS
    assert epochs.entries[0] == EpochStart(1, 2)
    assert opened(disk, 0, 2 * MAX_EPOCHS).entries == epochs.entries
