"""A KvTablet on a real log and a real RocksDB."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.crc import crc32c
from fluss_server.formats.kv_batch import build_kv_batch
from fluss_server.formats.log_batch import iter_batches
from fluss_server.kv.resources import KvResources
from fluss_server.runtime import system_runtime
from kv_support import (
    DOUBLE,
    INT,
    SCHEMA,
    STRING,
    Bucket,
    encode_key,
    let_scans_never_end,
    make_schema,
    make_table,
    open_bucket,
)


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Bucket]:
    made = open_bucket(tmp_path)
    yield made
    made.close()


def code_of(caught: pytest.ExceptionInfo[FlussError]) -> ErrorCode:
    return caught.value.code


# ---------------------------------------------------------------------- writing and reading


def test_upserts_and_deletes(bucket: Bucket) -> None:
    assert bucket.write([(1, "a", 1.0), (2, "b", None)]) == [("+I", (1, "a", 1.0)), ("+I", (2, "b", None))]
    assert bucket.write([(1, "c", 2.0)], [(2,), (3,)]) == [
        ("-U", (1, "a", 1.0)),
        ("+U", (1, "c", 2.0)),
        ("-D", (2, "b", None)),
    ]
    assert bucket.get(1) == (1, "c", 2.0)
    assert bucket.get(2) is None
    assert bucket.kv.row_count == 1
    assert bucket.rows() == bucket.replayed() == {(1,): (1, "c", 2.0)}


def test_values_carry_the_schema_id(bucket: Bucket) -> None:
    bucket.write([(1, "a", 0.5)])
    assert bucket.kv.lookup([bucket.key(1)]) == [b"\x01\x00" + bucket.row((1, "a", 0.5))]


def test_lookups_see_only_what_is_committed(bucket: Bucket) -> None:
    first = bucket.kv.put(bucket.batch([(1, "a", None)]))
    second = bucket.kv.put(bucket.batch([(1, "b", None)]))
    assert bucket.get(1) is None
    assert (bucket.kv.row_count, bucket.kv._readable_rows().offset) == (0, 0)
    bucket.kv.commit(first.last_offset + 1)
    assert bucket.get(1) == (1, "a", None)
    assert bucket.kv.row_count == 1
    bucket.kv.commit(second.last_offset)  # between -U and +U
    assert bucket.get(1) == (1, "a", None)
    bucket.kv.commit(second.last_offset + 1)
    assert bucket.get(1) == (1, "b", None)
    bucket.kv.commit(0)
    bucket.kv.commit(10**9)
    assert bucket.kv._readable_rows().offset == bucket.log.end_offset == 3


def test_merging_sees_what_is_pending(bucket: Bucket) -> None:
    bucket.kv.put(bucket.batch([(1, "a", None)]))
    bucket.kv.put(bucket.batch(deletes=[(1,)]))
    bucket.kv.put(bucket.batch(deletes=[(1,)]))
    bucket.kv.put(bucket.batch([(1, "b", None)]))
    assert [kind for kind, _ in bucket.changes()] == ["+I", "-D", "+I"]
    bucket.kv.commit(bucket.log.end_offset)
    assert bucket.get(1) == (1, "b", None)
    assert bucket.kv.row_count == 1


def test_a_batch_without_changes_takes_one_offset(bucket: Bucket) -> None:
    result = bucket.kv.put(bucket.batch(deletes=[(1,), (2,)], writer_id=5, batch_sequence=0))
    assert (result.base_offset, result.last_offset) == (0, 0)
    result = bucket.kv.put(bucket.batch(writer_id=5, batch_sequence=1))
    assert (result.base_offset, result.last_offset) == (1, 1)
    headers = [header for header, _ in bucket.log.batches(0, 2)]
    assert [(h.record_count, h.append_only, h.writer_id, h.batch_sequence) for h in headers] == [
        (0, False, 5, 0),
        (0, False, 5, 1),
    ]
    bucket.kv.commit(2)
    assert bucket.kv._readable_rows().offset == 2


def test_one_log_batch_per_kv_batch(bucket: Bucket) -> None:
    batch = bucket.batch([(n % 7, str(n), float(n)) for n in range(500)], writer_id=9, batch_sequence=0)
    result = bucket.kv.put(batch)
    headers = [header for header, _ in bucket.log.batches(0, result.last_offset + 1)]
    assert [(h.record_count, h.schema_id, h.writer_id, h.batch_sequence) for h in headers] == [(993, 1, 9, 0)]
    assert result.last_offset == 992


def test_lookup_of_many_keys_in_order(bucket: Bucket) -> None:
    bucket.write([(n, str(n), None) for n in range(0, 100, 2)])
    values = bucket.kv.lookup([bucket.key(n) for n in range(100)])
    assert [None if value is None else bucket.decode(value)[1] for value in values] == [  # type: ignore[index]
        str(n) if n % 2 == 0 else None for n in range(100)
    ]
    assert bucket.kv.lookup([]) == []


def test_prefix_lookup(tmp_path: Path) -> None:
    schema = make_schema({"region": STRING, "uid": INT, "v": INT}, ["region", "uid"])
    bucket = open_bucket(tmp_path, make_table(schema, bucket_key=["region"]))
    bucket.write([(region, uid, uid) for region in ("eu", "eu2", "us") for uid in (3, 1, 300)])
    prefix = b"\x02eu"
    found = bucket.kv.prefix_lookup(prefix)
    assert [bucket.decode(value) for value in found] == [("eu", 1, 1), ("eu", 3, 3), ("eu", 300, 300)]
    assert bucket.kv.prefix_lookup(b"\x02xx") == []
    assert len(bucket.kv.prefix_lookup(b"\x02us")) == 3
    size = sum(map(len, found))
    assert len(bucket.kv.prefix_lookup(prefix, size)) == len(bucket.kv.limit_scan(3, size)) == 3
    with pytest.raises(FlussError, match="2 rows already") as caught:
        bucket.kv.prefix_lookup(prefix, size - 1)
    assert code_of(caught) is ErrorCode.RECORD_TOO_LARGE_EXCEPTION
    with pytest.raises(FlussError, match="2 rows already") as caught:
        bucket.kv.limit_scan(3, size - 1)
    assert code_of(caught) is ErrorCode.RECORD_TOO_LARGE_EXCEPTION
    with pytest.raises(FlussError) as caught:
        bucket.kv.prefix_lookup(b"")
    assert code_of(caught) is ErrorCode.CORRUPT_MESSAGE
    bucket.close()


def test_limit_scan_is_in_key_order(bucket: Bucket) -> None:
    bucket.write([(n, None, None) for n in (300, 5, 1, 128)])
    bucket.kv.put(bucket.batch([(0, "pending", None)]))
    # Keys are varints: 300 = ac 02, 128 = 80 01.
    assert [bucket.decode(value) for value in bucket.kv.limit_scan(3)] == [
        (1, None, None),
        (5, None, None),
        (128, None, None),
    ]
    assert len(bucket.kv.limit_scan(100)) == 4
    assert bucket.kv.limit_scan(0) == []


def test_indexed_rows(tmp_path: Path) -> None:
    bucket = open_bucket(tmp_path, make_table(kv_format="INDEXED"))
    bucket.write([(1, "a", 1.0), (2, "b", 2.0)])
    assert bucket.write([(1, "x", None)], targets=[0, 1])[1] == ("+U", (1, "x", 1.0))
    assert bucket.rows() == bucket.replayed()
    reopened = bucket.crash(tmp_path / "copy")
    assert reopened.rows() == bucket.rows()
    reopened.close()
    bucket.close()


@pytest.mark.parametrize("compression", ["none", "zstd", "lz4_frame"])
def test_changelog_compression(tmp_path: Path, compression: str) -> None:
    bucket = open_bucket(tmp_path, make_table(compression=compression))
    bucket.write([(n, "same text " * 20, None) for n in range(1000)])
    size = next(header for header, _ in bucket.log.batches(0, bucket.log.end_offset)).size
    assert (size > 200_000) == (compression == "none")
    assert len(bucket.replayed()) == 1000
    bucket.close()


# ---------------------------------------------------------------------- partial updates, deletes, options


def test_partial_updates(bucket: Bucket) -> None:
    assert bucket.write([(1, "a", None)], targets=[0, 1]) == [("+I", (1, "a", None))]
    assert bucket.write([(1, None, 2.0)], targets=[2, 0]) == [("-U", (1, "a", None)), ("+U", (1, "a", 2.0))]
    assert bucket.write([(1, None, None)], targets=[0]) == []
    assert bucket.write([(1, None, None)], targets=[0, 1, 2])[1] == ("+U", (1, None, None))
    bucket.write([(1, "b", 3.0)])
    assert bucket.write(deletes=[(1,)], targets=[0, 1]) == [("-U", (1, "b", 3.0)), ("+U", (1, None, 3.0))]
    assert bucket.write(deletes=[(1,)], targets=[0, 2]) == [("-D", (1, None, 3.0))]
    assert bucket.kv.row_count == 0


def test_ignored_and_forbidden_deletes(tmp_path: Path) -> None:
    ignoring = open_bucket(tmp_path / "ignore", make_table(delete_behavior="ignore"))
    ignoring.write([(1, "a", None)])
    assert ignoring.write(deletes=[(1,)]) == []
    assert ignoring.log.end_offset == 2
    ignoring.close()
    forbidding = open_bucket(tmp_path / "disable", make_table(delete_behavior="DISABLE"))
    forbidding.write([(1, "a", None)])
    with pytest.raises(FlussError) as caught:
        forbidding.write([(1, "b", None)], deletes=[(1,)])
    assert code_of(caught) is ErrorCode.DELETION_DISABLED_EXCEPTION
    assert forbidding.log.end_offset == 1
    assert forbidding.write([(1, "c", None)])[0] == ("-U", (1, "a", None))
    forbidding.close()


def test_wal_image(tmp_path: Path) -> None:
    bucket = open_bucket(tmp_path, make_table(changelog_image="WAL"))
    assert bucket.write([(1, "a", None), (2, "b", None)]) == [("+U", (1, "a", None)), ("+U", (2, "b", None))]
    assert bucket.write([(1, "c", None)], [(2,), (3,)]) == [("+U", (1, "c", None)), ("-D", (2, "b", None))]
    assert bucket.rows() == {(1,): (1, "c", None)}
    with pytest.raises(FlussError) as caught:
        _ = bucket.kv.row_count
    assert code_of(caught) is ErrorCode.INVALID_TABLE_EXCEPTION
    reopened = bucket.crash(tmp_path / "copy")
    assert reopened.rows() == bucket.rows()
    reopened.close()
    bucket.close()


# ---------------------------------------------------------------------- duplicates and failures


def test_a_duplicate_gets_the_first_answer_and_changes_nothing(bucket: Bucket) -> None:
    batch = bucket.batch([(1, "a", None), (2, "b", None)], writer_id=3, batch_sequence=0)
    first = bucket.kv.put(batch)
    bucket.kv.put(bucket.batch([(1, "z", None)], writer_id=3, batch_sequence=1))
    again = bucket.kv.put(batch)
    assert again.duplicate
    assert (again.base_offset, again.last_offset) == (first.base_offset, first.last_offset)
    bucket.kv.commit(bucket.log.end_offset)
    assert bucket.get(1) == (1, "z", None)
    assert len(bucket.changes()) == 4
    reopened = bucket.crash(bucket.directory / "copy")
    assert reopened.kv.put(batch).duplicate
    reopened.close()


def test_a_sequence_out_of_order_leaves_no_trace(bucket: Bucket) -> None:
    with pytest.raises(FlussError) as caught:
        bucket.kv.put(bucket.batch([(1, "a", None)], writer_id=3, batch_sequence=1))
    assert code_of(caught) is ErrorCode.OUT_OF_ORDER_SEQUENCE_EXCEPTION
    assert bucket.write([(1, "b", None)]) == [("+I", (1, "b", None))]


BAD_ROW = b"\x00\x01\x03ab\x00\x00"


def damaged(batch: bytes) -> bytes:
    return batch[:-1] + bytes([batch[-1] ^ 1])


def with_row(row: bytes) -> bytes:
    return build_kv_batch(1, [(b"\x01", row)])


@pytest.mark.parametrize(
    ("batch", "targets", "code"),
    [
        (b"", [], ErrorCode.CORRUPT_MESSAGE),
        (damaged(with_row(bytes(10))), [], ErrorCode.CORRUPT_MESSAGE),
        (with_row(b"\x06\x01") + b"\0", [], ErrorCode.CORRUPT_MESSAGE),
        (with_row(BAD_ROW), [], ErrorCode.CORRUPT_RECORD_EXCEPTION),
        (with_row(b"\x06\x01\x00"), [], ErrorCode.CORRUPT_RECORD_EXCEPTION),
        (with_row(b"\x06\x02"), [], ErrorCode.CORRUPT_RECORD_EXCEPTION),  # the key of another row
        (with_row(b"\x07"), [], ErrorCode.CORRUPT_RECORD_EXCEPTION),  # null in the key
        (with_row(b"\x04\x01\x01\xff"), [], ErrorCode.CORRUPT_RECORD_EXCEPTION),  # not UTF-8
        (with_row(BAD_ROW), [0, 1], ErrorCode.CORRUPT_RECORD_EXCEPTION),
        (with_row(b"\x06\x01"), [1], ErrorCode.INVALID_TARGET_COLUMN),
        (with_row(b"\x06\x01"), [0, 3], ErrorCode.INVALID_TARGET_COLUMN),
        (build_kv_batch(2, []), [], ErrorCode.SCHEMA_NOT_EXIST),
        (build_kv_batch(0, []), [], ErrorCode.SCHEMA_NOT_EXIST),
        (build_kv_batch(-1, []), [], ErrorCode.SCHEMA_NOT_EXIST),
    ],
)
@pytest.mark.parametrize("rows", [0, 100])
def test_a_bad_batch_leaves_no_trace(
    bucket: Bucket, batch: bytes, targets: list[int], code: ErrorCode, rows: int
) -> None:
    bucket.write([(1, "a", 1.0)])
    if rows and code is ErrorCode.CORRUPT_RECORD_EXCEPTION:  # the same bad row among many good ones
        bad = next(record for record in iter_records(batch))
        good = [(bucket.key(n), bucket.row((n, "x", 0.5))) for n in range(1000, 1000 + rows)]
        batch = build_kv_batch(1, [*good, bad, *good])
    with pytest.raises(FlussError) as caught:
        bucket.kv.put(batch, targets)
    assert code_of(caught) is code
    assert bucket.log.end_offset == 1
    assert bucket.write([(1, "b", 2.0)]) == [("-U", (1, "a", 1.0)), ("+U", (1, "b", 2.0))]
    assert bucket.rows() == bucket.replayed()


def iter_records(batch: bytes) -> Iterator[tuple[bytes, bytes | None]]:
    from fluss_server.formats.kv_batch import KvBatch

    keys, rows = KvBatch.parse(batch).records()
    yield from zip(keys, rows, strict=True)


def test_a_failed_append_leaves_no_trace(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.write([(1, "a", None)])

    def full(records: object) -> None:
        raise FlussError(ErrorCode.LOG_STORAGE_EXCEPTION, "disk full")

    with monkeypatch.context() as patched:
        patched.setattr(bucket.log, "append", full)
        with pytest.raises(FlussError):
            bucket.kv.put(bucket.batch([(1, "lost", None), (2, "lost", None)]))
    assert bucket.write([(1, "b", None), (2, "c", None)]) == [
        ("-U", (1, "a", None)),
        ("+U", (1, "b", None)),
        ("+I", (2, "c", None)),
    ]


def test_a_failed_commit_can_be_repeated(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.kv.put(bucket.batch([(n, "a", None) for n in range(3000)]))
    store = bucket.kv._readable_rows()._store
    write, calls = store.write, []

    def failing(keys: Any, values: Any) -> None:
        calls.append(len(keys))
        if len(calls) == 2:
            raise FlussError(ErrorCode.KV_STORAGE_EXCEPTION, "disk full")
        write(keys, values)

    with monkeypatch.context() as patched:
        patched.setattr(store, "write", failing)
        with pytest.raises(FlussError):
            bucket.kv.commit(3000)
        assert (bucket.kv._readable_rows().offset, bucket.kv.row_count) == (0, 0)
        with pytest.raises(FlussError):
            bucket.kv.open_scan()
        bucket.kv.commit(3000)
    assert (bucket.kv._readable_rows().offset, bucket.kv.row_count) == (3000, 3000)
    assert bucket.rows() == bucket.replayed()


def test_too_much_pending_is_refused_until_a_commit(tmp_path: Path) -> None:
    bucket = open_bucket(tmp_path, resources=KvResources(system_runtime(), max_pending_bytes=10_000))
    batch = bucket.batch([(n, "x" * 50, None) for n in range(100)])  # 6 kB
    bucket.kv.put(batch)
    with pytest.raises(FlussError) as caught:
        bucket.kv.put(batch)
    assert code_of(caught) is ErrorCode.STORAGE_BACKPRESSURE_EXCEPTION
    assert caught.value.retriable
    assert bucket.kv.backpressure.pressure == 0.8
    bucket.kv.commit(bucket.log.end_offset)
    bucket.kv.put(batch)
    bucket.close()
    assert bucket.kv._resources.pending_bytes == 0


def test_files_that_wait_for_a_compaction_slow_writers_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = open_bucket(tmp_path, resources=KvResources(system_runtime(), backpressure_trigger=1))
    for number in range(3):
        bucket.write([(number, "x", None)])
        bucket.kv.persist()  # makes a file
    monkeypatch.setattr(bucket.kv, "_sampled_at", 0.0)
    bucket.write([(9, "x", None)])
    assert bucket.kv.backpressure.level0_files == 3
    assert bucket.kv.backpressure.pressure == pytest.approx(2 / 19)
    monkeypatch.setattr(bucket.kv._rows, "level0_files", lambda: 20)
    monkeypatch.setattr(bucket.kv, "_sampled_at", 0.0)
    before = bucket.log.end_offset
    with pytest.raises(FlussError, match="20 files wait for compaction") as caught:
        bucket.kv.put(bucket.batch([(10, "x", None)]))
    assert code_of(caught) is ErrorCode.STORAGE_BACKPRESSURE_EXCEPTION
    assert bucket.log.end_offset == before
    bucket.close()


# ---------------------------------------------------------------------- scans


def test_a_scan_shows_its_moment(bucket: Bucket) -> None:
    bucket.write([(n, "old", None) for n in range(100)])
    bucket.kv.put(bucket.batch([(0, "pending", None)]))
    scan = bucket.kv.open_scan()
    assert scan.log_offset == 100
    first = scan.next(200)
    bucket.write([(n, "new", None) for n in range(200)], [(n,) for n in range(50)])
    bucket.kv.persist()
    rest = []
    while not scan.exhausted:
        rest += scan.next(200)
    assert 1 < len(first) < 50
    assert [bucket.decode(value)[1] for value in first + rest] == ["old"] * 100  # type: ignore[index]
    assert scan.next(200) == []
    scan.close()
    scan.close()
    with pytest.raises(FlussError) as caught:
        scan.next(200)
    assert code_of(caught) is ErrorCode.SCANNER_EXPIRED
    changes = bucket.changes(scan.log_offset)
    assert changes[0] == ("-U", (0, "old", None))


def test_scan_limits(bucket: Bucket) -> None:
    bucket.write([(n, "x" * 100, None) for n in range(10)])
    scan = bucket.kv.open_scan()
    assert len(scan.next(1)) == 1, "one row however large"
    assert len(scan.next(10_000, 3)) == 3
    assert len(scan.next(250)) == 2
    assert not scan.exhausted
    assert len(scan.next(10_000)) == 4
    assert scan.exhausted
    scan.close()
    scan = bucket.kv.open_scan()
    assert len(scan.next(10_000, 10)) == 10
    assert scan.exhausted
    scan.close()


def test_scan_of_nothing(bucket: Bucket) -> None:
    scan = bucket.kv.open_scan()
    assert scan.next(100) == []
    assert scan.exhausted


def test_closing_ends_scans(tmp_path: Path) -> None:
    bucket = open_bucket(tmp_path)
    bucket.write([(1, "a", None)])
    scan = bucket.kv.open_scan()
    scan.next(1, 0)
    bucket.close()
    with pytest.raises(FlussError):
        scan.next(100)
    reopened = open_bucket(tmp_path)  # would fail if an iterator still held RocksDB's lock
    assert reopened.get(1) == (1, "a", None)
    reopened.close()


def test_closing_ends_a_scan_that_is_read_in_another_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading = let_scans_never_end(monkeypatch)
    bucket = open_bucket(tmp_path)
    bucket.write([(key, "a", None) for key in range(100)])
    scan = bucket.kv.open_scan()
    with ThreadPoolExecutor(1) as pool:
        step = pool.submit(scan.next, 1 << 60)
        assert reading.wait(30)
        bucket.close()
        with pytest.raises(FlussError) as caught:
            step.result(30)
    assert code_of(caught) is ErrorCode.SCANNER_EXPIRED
    monkeypatch.undo()
    reopened = open_bucket(tmp_path)  # would fail if an iterator still held RocksDB's lock
    assert reopened.get(1) == (1, "a", None)
    reopened.close()


# ---------------------------------------------------------------------- end of life, schema versions, threads


def test_a_closed_tablet_refuses_everything(tmp_path: Path) -> None:
    bucket = open_bucket(tmp_path)
    batch = bucket.batch([(1, "a", None)])
    bucket.close()
    bucket.kv.close()
    for call in (
        lambda: bucket.kv.put(batch),
        lambda: bucket.kv.commit(1),
        lambda: bucket.kv.lookup([b"\x01"]),
        lambda: bucket.kv.prefix_lookup(b"\x01"),
        lambda: bucket.kv.limit_scan(1),
        lambda: bucket.kv.open_scan(),
        lambda: bucket.kv.persist(),
    ):
        with pytest.raises(FlussError) as caught:
            call()
        assert code_of(caught) is ErrorCode.UNKNOWN_TABLE_OR_BUCKET_EXCEPTION


def test_delete_removes_the_files(tmp_path: Path) -> None:
    bucket = open_bucket(tmp_path)
    bucket.write([(1, "a", None)])
    bucket.kv.persist()
    bucket.kv.delete()
    assert not (tmp_path / "kv").exists()
    bucket.kv.delete()
    bucket.log.close()


def test_rows_of_an_older_schema(tmp_path: Path) -> None:
    old_table = make_table(make_schema({"id": INT, "name": STRING}, ["id"]))
    bucket = open_bucket(tmp_path, old_table)
    bucket.write([(n, "old") for n in range(50)])
    bucket.close()
    new_table = make_table(SCHEMA, schema_id=2)
    evolved = open_bucket(tmp_path, new_table, schemas={1: old_table.schema})
    assert evolved.kv.lookup([evolved.key(1)]) == [b"\x01\x00" + bucket.row((1, "old"))]
    # A writer that still has the old schema, and one that has the new one.
    late = build_kv_batch(1, [(evolved.key(1), bucket.row((1, "late"))), (evolved.key(50), bucket.row((50, "late")))])
    result = evolved.kv.put(late)
    assert evolved.changes(result.base_offset) == [
        ("-U", (1, "old", None)),
        ("+U", (1, "late", None)),
        ("+I", (50, "late", None)),
    ]
    assert evolved.write([(n, "new", 1.0) for n in range(3)])[:4] == [
        ("-U", (0, "old", None)),
        ("+U", (0, "new", 1.0)),
        ("-U", (1, "late", None)),
        ("+U", (1, "new", 1.0)),
    ]
    evolved.write([(5, None, 7.0)], targets=[0, 2])
    assert evolved.get(5) == (5, "old", 7.0)
    assert evolved.kv.lookup([evolved.key(50)]) == [b"\x01\x00" + bucket.row((50, "late"))]
    evolved.close()


@pytest.mark.slow
def test_lookups_in_another_thread_never_go_back(tmp_path: Path) -> None:
    # A small cache, so that values come from all generations and from RocksDB.
    bucket = open_bucket(tmp_path, resources=KvResources(system_runtime(), row_cache_bytes=60_000))
    keys = [bucket.key(n) for n in range(300)]
    committed = -1
    failures: list[str] = []
    stop = threading.Event()

    def read() -> None:
        seen = [-1] * len(keys)
        while not stop.is_set():
            known = committed
            values = bucket.kv.lookup(keys)
            for index, value in enumerate(values):
                row = bucket.decode(value)
                version = -1 if row is None else int(row[1])
                if version < max(seen[index], known):
                    failures.append(f"key {index}: {version} after {seen[index]}, {known} was committed")
                seen[index] = version
            bucket.kv.limit_scan(5)
            bucket.kv.prefix_lookup(keys[3])

    thread = threading.Thread(target=read)
    thread.start()
    try:
        for version in range(60):
            result = bucket.kv.put(bucket.batch([(n, str(version), None) for n in range(300)]))
            bucket.kv.commit(result.last_offset + 1)
            committed = version
            if version % 20 == 0:
                bucket.kv.persist()
    finally:
        stop.set()
        thread.join()
    assert failures == []
    bucket.close()


def test_keys_of_several_columns_in_declared_order(tmp_path: Path) -> None:
    table = make_table(make_schema({"v": DOUBLE, "b": STRING, "a": INT}, ["a", "b"]))
    bucket = open_bucket(tmp_path, table)
    bucket.write([(0.5, "x", 7), (1.5, "", -1)])
    assert bucket.kv.lookup([encode_key(table, (7, "x"))])[0] is not None
    assert bucket.get(-1, "") == (1.5, "", -1)
    reopened = bucket.crash(tmp_path / "copy")
    assert reopened.rows() == bucket.rows()
    reopened.close()
    bucket.close()


def test_crc_of_the_changelog(bucket: Bucket) -> None:
    bucket.write([(n, "a", None) for n in range(40)])
    [(header, data)] = bucket.log.batches(0, bucket.log.end_offset)
    assert crc32c(data[25:]) == header.crc
    assert [position for position, _ in iter_batches(data)] == [0]
