"""A KvTablet does what a few dictionaries do, through failures and crashes.

The model knows rows as Python tuples and merges them in the plainest way; it shares no code with the tablet.
``merged`` is the state after all batches, ``committed`` the state below the committed offset, and every row of the
changelog has one offset.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from example_support import examples
from fluss_server.errors import FlussError
from fluss_server.kv.resources import KvResources
from fluss_server.kv.scan import KvScan
from fluss_server.model.types import DataType, TypeRoot
from fluss_server.runtime import system_runtime
from kv_support import (
    INT,
    STRING,
    Bucket,
    Change,
    Values,
    copy_live,
    encode_key,
    make_schema,
    make_table,
    open_bucket,
)
from scratch_support import scratch_directory

SCHEMA = make_schema(
    {
        "region": STRING,
        "id": INT,
        "text": STRING,
        "amount": DataType(TypeRoot.DECIMAL, precision=30, scale=4),
        "at": DataType(TypeRoot.TIMESTAMP, precision=9),
        "tags": DataType(TypeRoot.ARRAY, element=STRING),
    },
    ["region", "id"],
)
COLUMNS = len(SCHEMA.columns)
KEYS = [(region, number) for region in ("", "eu", "eu\x00x", "us") for number in (1, 200, -1)]

FORMATS = [  # of the store and of the log
    ("COMPACTED", "ARROW"),
    ("INDEXED", "ARROW"),
    ("COMPACTED", "COMPACTED"),
    ("INDEXED", "COMPACTED"),
    ("INDEXED", "INDEXED"),
]

key_values = st.sampled_from(KEYS)
payloads = st.tuples(
    st.none() | st.text(max_size=5),
    st.none() | st.integers(-(10**30) + 1, 10**30 - 1),
    st.none() | st.tuples(st.integers(-(10**12), 10**12), st.integers(0, 999_999)),
    st.none() | st.lists(st.none() | st.text(max_size=10), max_size=3),
)
rows = st.builds(lambda key, payload: (*key, *payload), key_values, payloads)
# An upsert is a row, a delete a key. Sometimes a batch is long enough for the vectorised code.
records = st.lists(rows | key_values, max_size=6) | st.lists(rows | key_values, min_size=40, max_size=60)
target_columns = st.sets(st.integers(2, COLUMNS - 1)).map(lambda others: sorted(others | {0, 1}))

Record = tuple[Any, ...]


class Model:
    """What the tablet should hold and write."""

    def __init__(self, full_image: bool) -> None:
        self.full_image = full_image
        self.merged: dict[Values, Values] = {}
        self.committed: dict[Values, Values] = {}
        self.committed_offset = 0
        self.changelog: list[Change] = []
        self.entries: list[tuple[Values, Values | None] | None] = []  # per offset: what becomes visible with it

    @property
    def end(self) -> int:
        return len(self.entries)

    def put(self, batch: Sequence[Record], targets: Sequence[int]) -> tuple[int, int]:
        """Merge a batch; returns base and last offset."""
        base = self.end
        partial = bool(targets) and len(targets) < COLUMNS
        for record in batch:
            key = record[:2]
            old = self.merged.get(key)
            if len(record) == 2:
                if old is None:
                    continue
                left = [None if partial and i in targets and i > 1 else v for i, v in enumerate(old)]
                gone = not partial or all(v is None for i, v in enumerate(old) if i not in targets)
                self._change(key, old, None if gone else tuple(left))
            elif not partial:
                self._change(key, old, record, blind=not self.full_image)
            elif old is None:
                self._change(key, None, tuple(v if i in targets else None for i, v in enumerate(record)))
            elif len(targets) > 2:
                self._change(key, old, tuple(v if i in targets else old[i] for i, v in enumerate(record)))
        if self.end == base:
            self.entries.append(None)
        return base, self.end - 1

    def _change(self, key: Values, old: Values | None, new: Values | None, blind: bool = False) -> None:
        if new is None:
            assert old is not None
            self.changelog.append(("-D", old))
            self.entries.append((key, None))
            del self.merged[key]
            return
        if old is None and not blind:
            self.changelog.append(("+I", new))
        else:
            if self.full_image:
                assert old is not None
                self.changelog.append(("-U", old))
                self.entries.append(None)
            self.changelog.append(("+U", new))
        self.entries.append((key, new))
        self.merged[key] = new

    def commit(self, offset: int) -> None:
        for entry in self.entries[self.committed_offset : offset]:
            if entry is not None:
                key, row = entry
                if row is None:
                    self.committed.pop(key, None)
                else:
                    self.committed[key] = row
        self.committed_offset = max(self.committed_offset, offset)


class KvTabletMachine(RuleBasedStateMachine):
    """Random histories of one tablet."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = scratch_directory()
        self.incarnation = 0
        self.sent: list[tuple[bytes, list[int], tuple[int, int]]] = []
        self.scans: list[tuple[KvScan, list[Values], list[Values]]] = []

    @initialize(
        formats=st.sampled_from(FORMATS),
        image=st.sampled_from(["FULL", "FULL", "WAL"]),
        compression=st.sampled_from(["NONE", "ZSTD", "LZ4_FRAME"]),
        cache_bytes=st.sampled_from([0, 3_000, 1 << 20]),
    )
    def create(self, formats: tuple[str, str], image: str, compression: str, cache_bytes: int) -> None:
        self.cache_bytes = cache_bytes
        self.table = make_table(
            SCHEMA,
            bucket_key=["region"],
            kv_format=formats[0],
            log_format=formats[1],
            changelog_image=image,
            compression=compression,
        )
        self.model = Model(image == "FULL")
        self.keys = {key: encode_key(self.table, key) for key in KEYS}
        self.bucket = self.open()

    def open(self) -> Bucket:
        resources = KvResources(system_runtime(), 8 << 20, row_cache_bytes=self.cache_bytes)
        return open_bucket(self.directory / str(self.incarnation), self.table, resources)

    def encode(self, batch: Sequence[Record], sequence: int) -> bytes:
        from fluss_server.formats.kv_batch import build_kv_batch

        pairs = [(self.keys[r[:2]], self.bucket.row(r) if len(r) > 2 else None) for r in batch]
        writer = {"writer_id": 1, "batch_sequence": sequence} if sequence >= 0 else {}
        return build_kv_batch(1, pairs, **writer)

    # ------------------------------------------------------------------ writes

    @rule(batch=records, columns=st.just([]) | target_columns, idempotent=st.booleans())
    def put(self, batch: list[Record], columns: list[int], idempotent: bool) -> None:
        data = self.encode(batch, len(self.sent) if idempotent else -1)
        result = self.bucket.kv.put(data, columns)
        expected = self.model.put(batch, columns)
        assert (result.base_offset, result.last_offset, result.duplicate) == (*expected, False)
        if idempotent:
            self.sent.append((data, columns, expected))

    @precondition(lambda self: self.sent)
    @rule(back=st.integers(1, 5))
    def put_again(self, back: int) -> None:
        data, targets, expected = self.sent[-min(back, len(self.sent))]
        result = self.bucket.kv.put(data, targets)
        assert (result.base_offset, result.last_offset, result.duplicate) == (*expected, True)

    @rule(
        batch=records, how=st.sampled_from(["targets", "bytes", "row", "sequence", "schema"]), at=st.integers(0, 10**6)
    )
    def put_something_wrong(self, batch: list[Record], how: str, at: int) -> None:
        data, targets = self.encode(batch, -1), []
        if how == "targets":
            targets = [1, 2]
        elif how == "bytes":
            position = 9 + at % (len(data) - 9)
            data = data[:position] + bytes([data[position] ^ (1 + at % 255)]) + data[position + 1 :]
        elif how == "sequence":
            data = self.encode(batch, len(self.sent) + 1 + at)
        else:
            from fluss_server.formats.kv_batch import build_kv_batch

            bad = (self.keys[KEYS[0]], b"\xff" * (at % 9))
            pairs = [(self.keys[r[:2]], self.bucket.row(r) if len(r) > 2 else None) for r in batch]
            data = build_kv_batch(1 if how == "row" else 2, [*pairs, bad] if at % 9 else pairs)
            if how == "row" and not at % 9:
                return
        with pytest.raises(FlussError):
            self.bucket.kv.put(data, targets)
        assert self.bucket.log.end_offset == self.model.end

    # ------------------------------------------------------------------ progress

    @rule(share=st.floats(0, 1), durable=st.booleans())
    def commit(self, share: float, durable: bool) -> None:
        offset = self.model.committed_offset + round(share * (self.model.end - self.model.committed_offset))
        if durable:
            self.bucket.log.flush()
        self.bucket.kv.commit(offset)
        self.model.commit(offset)

    @rule()
    def persist(self) -> None:
        assert self.bucket.kv.persist() == self.model.committed_offset

    @rule()
    def flush_by_itself(self) -> None:
        """RocksDB writes memtables when it likes."""
        self.bucket.kv._readable_rows()._store.flush(wait=True)

    @rule()
    def crash(self) -> None:
        self.drop_scans()
        old, before = self.bucket, self.directory / str(self.incarnation)
        self.incarnation += 1
        copy_live(before, self.directory / str(self.incarnation))
        old.close()
        shutil.rmtree(before)
        self.bucket = self.open()
        self.model.commit(self.model.end)

    @rule(damage=st.sampled_from(["nothing", "database", "offset", "sst"]))
    def restart(self, damage: str) -> None:
        self.drop_scans()
        self.bucket.close()
        kv = self.directory / str(self.incarnation) / "kv"
        if damage == "database":
            shutil.rmtree(kv / "db")
        elif damage == "offset":
            (kv / "flushed-offset").write_bytes(b"torn")
        elif damage == "sst":
            for path in (kv / "db").glob("*.sst"):
                path.write_bytes(path.read_bytes()[:-7])
        self.bucket = self.open()
        self.model.commit(self.model.end)

    # ------------------------------------------------------------------ scans

    @precondition(lambda self: len(self.scans) < 3)
    @rule()
    def open_scan(self) -> None:
        scan = self.bucket.kv.open_scan()
        assert scan.log_offset == self.model.committed_offset
        self.scans.append((scan, self.in_key_order(self.model.committed), []))

    @precondition(lambda self: self.scans)
    @rule(max_bytes=st.integers(1, 300), max_rows=st.none() | st.integers(1, 3))
    def scan(self, max_bytes: int, max_rows: int | None) -> None:
        scan, expected, found = self.scans[0]
        before = len(found)
        found += [self.present(value) for value in scan.next(max_bytes, max_rows)]
        assert found == expected[: len(found)]
        if scan.exhausted:
            assert found == expected
            scan.close()
            del self.scans[0]
        else:
            assert len(found) > before

    def drop_scans(self) -> None:
        for scan, _, _ in self.scans:
            scan.close()
        self.scans.clear()

    def in_key_order(self, state: dict[Values, Values]) -> list[Values]:
        return [state[key] for key in sorted(state, key=self.keys.__getitem__)]

    def present(self, value: bytes) -> Values:
        row = self.bucket.decode(value)
        assert row is not None
        return row

    # ------------------------------------------------------------------ what always holds

    @invariant()
    def lookups_show_what_is_committed(self) -> None:
        if not hasattr(self, "bucket"):
            return
        kv, state = self.bucket.kv, self.model.committed
        assert kv._readable_rows().offset == self.model.committed_offset
        found = [self.bucket.decode(value) for value in kv.lookup(list(self.keys.values()))]
        assert found == [state.get(key) for key in self.keys]
        ordered = self.in_key_order(state)
        assert [self.present(value) for value in kv.limit_scan(5)] == ordered[:5]
        for region in ("", "eu"):
            prefix = bytes([len(region)]) + region.encode()
            expected = [row for row in ordered if row[0] == region]
            assert [self.present(value) for value in kv.prefix_lookup(prefix)] == expected
        if self.model.full_image:
            assert kv.row_count == len(state)

    def teardown(self) -> None:
        if hasattr(self, "bucket"):
            assert self.bucket.changes() == self.model.changelog
            self.drop_scans()
            self.bucket.kv.commit(self.model.end)
            assert self.bucket.rows() == self.model.merged
            if self.model.full_image:
                assert self.bucket.replayed() == self.model.merged
            self.bucket.close()
        shutil.rmtree(self.directory, ignore_errors=True)


KvTabletMachine.TestCase.settings = settings(
    max_examples=examples(7), stateful_step_count=25, suppress_health_check=list(HealthCheck)
)
TestKvTablet = KvTabletMachine.TestCase


def test_duplicates_change_nothing_however_old_they_are(tmp_path: Path) -> None:
    bucket = open_bucket(tmp_path)
    batches = [bucket.batch([(n, "a", None)], writer_id=1, batch_sequence=n) for n in range(7)]
    for batch in batches:
        bucket.kv.put(batch)
    for batch in batches:
        assert bucket.kv.put(batch).duplicate
    assert bucket.log.end_offset == 7
    bucket.close()
