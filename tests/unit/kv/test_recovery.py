"""A KvTablet after a crash, with its files in any state."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from error_support import code_of
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.kv import committed_rows, resources
from fluss_server.kv.checkpoint import CHECKPOINT_FILE, OLD_CHECKPOINT_FILE, UNKNOWN_BOOT, read_checkpoint
from fluss_server.kv.resources import KvResources
from fluss_server.log.log_config import LogConfig
from fluss_server.runtime import system_disk, system_runtime
from fluss_server.runtime.clock import ManualClock
from kv_support import Bucket, copy_live, make_table, open_bucket
from log_support import NOW_MS

pytestmark = pytest.mark.slow  # RocksDB is opened again and again

DISK = system_runtime().disk


def fill(bucket: Bucket) -> None:
    """A persisted part and a part that only the log has, both with updates and deletes."""
    bucket.write([(n, "first", float(n)) for n in range(300)])
    bucket.write([(n, "second", None) for n in range(0, 300, 3)], [(n,) for n in range(0, 300, 7)])
    assert bucket.kv.persist() == bucket.log.end_offset
    bucket.write([(n, "third", None) for n in range(200, 400)], [(n,) for n in range(0, 300, 11)])
    bucket.write([], [(n,) for n in range(5)])
    bucket.write([(n, "fourth", None) for n in range(3)])


def check(bucket: Bucket) -> None:
    """State, count and lookups are those of the changelog."""
    expected = bucket.replayed()
    assert bucket.rows() == expected
    assert bucket.kv.row_count == len(expected)
    assert bucket.kv._readable_rows().offset == bucket.log.end_offset
    assert [bucket.get(n) for n in range(400)] == [expected.get((n,)) for n in range(400)]
    bucket.write([(1000, "after", None)], [(1,)])
    assert bucket.rows() == bucket.replayed()
    assert bucket.kv.row_count == len(bucket.rows())


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of a bucket whose process was killed."""
    directory = tmp_path_factory.mktemp("crashed")
    bucket = open_bucket(directory / "live")
    fill(bucket)
    copy_live(directory / "live", directory / "image")
    bucket.close()
    return directory / "image"


def copy(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    return target


def test_restart_replays_only_what_is_not_persisted(
    crashed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = copy(crashed, tmp_path / "b")
    state = read_checkpoint(directory / "kv", DISK)
    assert state is not None
    replayed: list[int] = []
    apply = committed_rows.CommittedRows.apply

    def watched(self: committed_rows.CommittedRows, rows: dict[bytes, bytes | None], *rest: int, **how: bool) -> None:
        replayed.append(len(rows))
        apply(self, rows, *rest, **how)

    monkeypatch.setattr(committed_rows.CommittedRows, "apply", watched)
    bucket = open_bucket(directory)
    assert 0 < state.offset < bucket.log.end_offset
    assert 0 < sum(replayed) < 250
    check(bucket)
    bucket.close()
    replayed.clear()
    bucket = open_bucket(directory)
    assert replayed == [], "after a clean end nothing is left to replay"
    check(bucket)
    bucket.close()


def files_of(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in (directory / "kv").rglob("*") if path.is_file())


def remove(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def halve(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def drop_last_byte(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip_first_byte(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(bytes([data[0] ^ 0x55]) + data[1:] if data else b"garbage")


def become_a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "damage", [remove, empty, halve, drop_last_byte, flip_first_byte, become_a_directory], ids=lambda f: f.__name__
)
def test_any_torn_file_is_survived(crashed: Path, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    for number, name in enumerate(files_of(crashed)):
        directory = copy(crashed, tmp_path / str(number))
        damage(directory / name)
        bucket = open_bucket(directory)
        try:
            bucket.rows()
        except FlussError as error:  # RocksDB looks at data blocks only when it reads them
            if error.code is not ErrorCode.KV_STORAGE_EXCEPTION:
                raise
            bucket.close()
            bucket = open_bucket(directory)
        assert bucket.rows() == bucket.replayed(), name
        check(bucket)
        bucket.close()


def test_a_rebuild_is_logged(crashed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    directory = copy(crashed, tmp_path / "b")
    remove(next((directory / "kv" / "db").glob("*.sst")))
    with caplog.at_level(logging.INFO):
        bucket = open_bucket(directory)
    messages = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert any(level == "WARNING" and "again from the log" in text and ".sst" in text for level, text in messages)
    check(bucket)
    bucket.close()


def test_a_missing_database_is_rebuilt(crashed: Path, tmp_path: Path) -> None:
    for number, part in enumerate(["kv/db", "kv", f"kv/{CHECKPOINT_FILE}"]):
        directory = copy(crashed, tmp_path / str(number))
        shutil.rmtree(directory / part) if (directory / part).is_dir() else (directory / part).unlink()
        bucket = open_bucket(directory)
        check(bucket)
        bucket.close()


def test_a_store_that_is_ahead_of_the_log_is_rebuilt(crashed: Path, tmp_path: Path) -> None:
    """The log lost its end, and the store had it: as if acknowledged batches were damaged."""
    directory = copy(crashed, tmp_path / "b")
    bucket = open_bucket(directory)
    bucket.kv.persist()
    end = bucket.log.end_offset
    bucket.close()
    for path in (directory / "log").iterdir():
        if path.suffix == ".log":
            drop_last_byte(path)
    bucket = open_bucket(directory)
    assert bucket.log.end_offset < end
    check(bucket)
    bucket.close()


def test_rows_that_rocksdb_wrote_by_itself_go_when_the_log_loses_them(crashed: Path, tmp_path: Path) -> None:
    directory = copy(crashed, tmp_path / "b")
    bucket = open_bucket(directory)
    end = bucket.log.end_offset
    bucket.write([(5000, "lost", None)])
    bucket.kv._readable_rows()._store.flush(wait=True)  # as when a memtable is full; nothing is recorded
    image = copy(directory, tmp_path / "image")
    bucket.close()
    for path in (image / "log").iterdir():
        if path.suffix == ".log":
            drop_last_byte(path)
    bucket = open_bucket(image)
    assert bucket.log.end_offset == end
    assert bucket.get(5000) is None
    check(bucket)
    bucket.close()


def test_the_log_is_durable_before_rocksdb_writes_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Acknowledgement without fsync: what RocksDB has on disk must not outlive its changelog."""
    bucket = open_bucket(tmp_path)
    result = bucket.kv.put(bucket.batch([(1, "small", None)]))
    bucket.kv.commit(result.last_offset + 1)
    assert bucket.log.flushed_offset == 0  # the memtable is far from full
    monkeypatch.setattr(committed_rows, "FLUSH_LOG_AFTER_BYTES", 1_000_000)
    result = bucket.kv.put(bucket.batch([(n, "x" * 300, None) for n in range(2000)]))
    bucket.kv.commit(result.last_offset + 1)
    assert bucket.log.flushed_offset == bucket.log.end_offset
    bucket.close()


def test_closing_a_store_whose_log_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing writes the memtable to disk; after a loss of power the log may have less."""
    bucket = open_bucket(tmp_path / "live")
    bucket.write([(1, "durable", None)])
    bucket.kv.persist()
    log_image = copy(tmp_path / "live" / "log", tmp_path / "image" / "log")
    result = bucket.kv.put(bucket.batch([(1, "lost", None), (2, "lost", None)]))
    bucket.kv.commit(result.last_offset + 1)
    with monkeypatch.context() as broken:
        broken.setattr(system_disk, "_datasync", fail_to_sync)
        with pytest.raises(FlussError) as caught:
            bucket.close()
    assert caught.value.code is ErrorCode.STORAGE_EXCEPTION
    state = read_checkpoint(tmp_path / "live" / "kv", DISK)
    assert state is not None
    assert state.may_exceed_log
    copy(tmp_path / "live" / "kv", tmp_path / "image" / "kv")
    assert log_image.exists()
    monkeypatch.setattr(committed_rows, "boot_id", lambda disk: b"another boot....")
    found = open_bucket(tmp_path / "image")
    assert found.rows() == found.replayed() == {(1,): (1, "durable", None)}
    found.close()


def test_closing_a_store_of_which_nothing_can_be_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its log can be made durable nor its checkpoint be replaced: it is built again."""
    bucket = open_bucket(tmp_path / "live")
    bucket.write([(1, "durable", None)])
    bucket.kv.persist()
    copy(tmp_path / "live" / "log", tmp_path / "image" / "log")
    result = bucket.kv.put(bucket.batch([(1, "lost", None), (2, "lost", None)]))
    bucket.kv.commit(result.last_offset + 1)

    def fail_to_write(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(system_disk, "_datasync", fail_to_sync)
        broken.setattr(committed_rows, "write_checkpoint", fail_to_write)
        assert code_of(bucket.close) is ErrorCode.STORAGE_EXCEPTION
    copy(tmp_path / "live" / "kv", tmp_path / "image" / "kv")
    found = open_bucket(tmp_path / "image")
    assert found.rows() == found.replayed() == {(1,): (1, "durable", None)}
    found.close()


def fail_to_sync(fd: int) -> None:
    """The disk of the log is broken, that of the store is not."""
    if Path(os.readlink(f"/proc/self/fd/{fd}")).parent.name == "log":
        raise OSError(5, "Input/output error")


def test_persist_flushes_the_log_first(tmp_path: Path) -> None:
    bucket = open_bucket(tmp_path)
    result = bucket.kv.put(bucket.batch([(1, "a", None)]))
    bucket.kv.commit(result.last_offset + 1)
    assert bucket.log.flushed_offset == 0
    assert bucket.kv.persist() == 1
    assert bucket.log.flushed_offset == 1
    bucket.close()


def test_persist_records_what_was_committed_then(tmp_path: Path) -> None:
    bucket = open_bucket(tmp_path)
    bucket.write([(1, "a", None), (2, "b", None)])
    bucket.kv.put(bucket.batch([(3, "pending", None)]))
    assert bucket.kv.persist() == 2
    assert bucket.kv.persist() == 2
    state = read_checkpoint(tmp_path / "kv", DISK)
    assert state is not None
    assert (state.offset, state.row_count, state.may_exceed_log) == (2, 2, False)
    assert state.boot_id != UNKNOWN_BOOT
    bucket.close()


def test_big_memtables_are_persisted_in_the_background(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committed_rows, "FLUSH_AFTER_BYTES", 20_000)
    bucket = open_bucket(tmp_path / "live")
    offsets = [0]
    for number in range(200):
        bucket.write([(n, f"{number}", None) for n in range(100)])
        state = read_checkpoint(tmp_path / "live" / "kv", DISK)
        offsets.append(0 if state is None else state.offset)
    assert offsets == sorted(offsets)
    assert offsets[-1] > 0
    reopened = bucket.crash(tmp_path / "copy")
    check(reopened)
    reopened.close()
    bucket.close()


def test_the_largest_memtable_is_flushed_when_all_together_are_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "MIN_FLUSH_BYTES", 1)
    shared = KvResources(system_runtime(), 6 << 20)
    large = open_bucket(tmp_path / "large", resources=shared)
    small = open_bucket(tmp_path / "small", resources=shared)
    large.write([(n, "x" * 500, None) for n in range(1000)])
    before = large.kv._readable_rows().unflushed_bytes
    assert before > 500_000
    for _ in range(100):
        small.write([(n, "y" * 500, None) for n in range(100)])
        if large.kv._readable_rows().unflushed_bytes == 0:
            break
    else:
        pytest.fail("the large memtable was never flushed")
    small.close()
    large.close()


def test_a_log_that_does_not_reach_back_makes_a_broken_store_an_error(
    crashed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = copy(crashed, tmp_path / "b")
    remove(directory / "kv" / CHECKPOINT_FILE)
    from fluss_server.log.log_tablet import LogTablet

    monkeypatch.setattr(LogTablet, "start_offset", property(lambda self: 10))
    with pytest.raises(FlussError) as caught:
        open_bucket(directory)
    assert caught.value.code is ErrorCode.KV_STORAGE_EXCEPTION
    assert caught.value.hint is not None
    assert (directory / "kv" / "db" / "CURRENT").exists(), "nothing was removed"


KILLED = """
import os, signal, sys
from pathlib import Path
from kv_support import open_bucket

bucket = open_bucket(Path(sys.argv[1]))
for number in range(40):
    bucket.write([(n, str(number), None) for n in range(number, number + 50)], [(number - 3,)])
    if number == 25:
        bucket.kv.persist()
bucket.kv.put(bucket.batch([(1000, "not committed", None)]))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_sigkill(tmp_path: Path) -> None:
    tests = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tests), *sys.path])}
    process = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "b")],
        env=environment,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert process.returncode == -signal.SIGKILL, process.stderr.decode()
    bucket = open_bucket(tmp_path / "b", make_table())
    assert bucket.get(1000) == (1000, "not committed", None), "what is in the log counts as committed"
    assert bucket.get(88) == (88, "39", None)
    assert bucket.get(36) is None
    check(bucket)
    bucket.close()


# ---------------------------------------------------------------------- a log that does not begin at 0


@pytest.fixture
def shortened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Directory of a bucket whose log begins behind the first rows, which RocksDB has; and a tail that it has not."""
    clock = ManualClock(NOW_MS)
    bucket = open_bucket(tmp_path / "live", log_config=LogConfig(segment_bytes=3000), clock=clock)
    fill(bucket)
    clock.advance(10_000)
    floor = bucket.kv.retention_floor
    assert 0 < floor < bucket.log.end_offset
    assert bucket.log.delete_expired(1000, floor, roll_active=False) > 0
    assert 0 < bucket.log.start_offset <= floor
    (tmp_path / "rows").write_text(repr(bucket.rows()))
    copy_live(tmp_path / "live", tmp_path / "image")
    bucket.close()
    return tmp_path / "image"


def test_a_log_that_retention_has_shortened(shortened: Path) -> None:
    bucket = open_bucket(shortened)
    assert repr(bucket.rows()) == (shortened.parent / "rows").read_text()
    assert bucket.kv.row_count == len(bucket.rows())
    bucket.write([(1000, "after", None)])
    assert bucket.get(1000) == (1000, "after", None)
    bucket.close()
    bucket = open_bucket(shortened)
    assert bucket.get(1000) == (1000, "after", None)
    bucket.close()


@pytest.mark.parametrize("damage", ["kv", f"kv/{CHECKPOINT_FILE}", "kv/db", "kv/db/CURRENT"])
def test_rows_that_only_rocksdb_has_are_never_given_up_silently(shortened: Path, damage: str) -> None:
    remove(shortened / damage) if (shortened / damage).is_file() else shutil.rmtree(shortened / damage)
    before = sorted(path.name for path in (shortened / "log").iterdir())
    with pytest.raises(FlussError, match="log begins at") as caught:
        open_bucket(shortened)
    assert caught.value.code is ErrorCode.KV_STORAGE_EXCEPTION
    assert sorted(path.name for path in (shortened / "log").iterdir()) == before


def test_a_damaged_store_holds_the_log_back(tmp_path: Path) -> None:
    bucket = open_bucket(tmp_path)
    bucket.write([(1, "a", None)])
    bucket.kv.persist()
    assert bucket.kv.retention_floor == 1
    bucket.kv._readable_rows()._set_damaged()
    assert bucket.kv.retention_floor == 0
    bucket.close()


def test_a_checkpoint_under_its_old_name_is_read_and_replaced(tmp_path: Path) -> None:
    """Data directories of older versions: nothing is built again, and the changelog may be gone."""
    bucket = open_bucket(tmp_path)
    bucket.write([(n, "first", None) for n in range(50)])
    bucket.kv.persist()
    expected = bucket.rows()
    bucket.close()
    directory = tmp_path / "kv"
    (directory / CHECKPOINT_FILE).rename(directory / OLD_CHECKPOINT_FILE)
    state = read_checkpoint(directory, DISK)
    assert state is not None
    assert state.offset == 50
    bucket = open_bucket(tmp_path)
    assert bucket.rows() == expected
    assert bucket.kv.retention_floor == 50  # it was not built again
    bucket.write([(1, "second", None)])
    bucket.kv.persist()
    bucket.close()
    assert sorted(path.name for path in directory.iterdir()) == ["db", CHECKPOINT_FILE]
