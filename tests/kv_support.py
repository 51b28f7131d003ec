"""Making KvTablets, filling them, and reading their changelog back without the code under test."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fluss_server.formats.arrow_batch import decode_batch
from fluss_server.formats.arrow_types import arrow_schema
from fluss_server.formats.arrow_values import from_arrow
from fluss_server.formats.keys import key_encoder
from fluss_server.formats.kv_batch import build_kv_batch
from fluss_server.formats.row_codec import row_codec
from fluss_server.formats.row_log import decode_row_batch
from fluss_server.kv import scan
from fluss_server.kv.kv_tablet import KvTablet
from fluss_server.kv.resources import KvResources
from fluss_server.kv.rocks import StoreSnapshot
from fluss_server.log.log_tablet import LogConfig, LogTablet
from fluss_server.model.identifiers import TablePath
from fluss_server.model.schema import Column, Schema
from fluss_server.model.table import KvFormat, LogFormat, TableDescriptor, TableInfo
from fluss_server.model.types import DataType, TypeRoot
from fluss_server.runtime import system_runtime
from fluss_server.runtime.clock import Clock, ManualClock
from log_support import NOW_MS

INT = DataType(TypeRoot.INTEGER)
STRING = DataType(TypeRoot.STRING)
DOUBLE = DataType(TypeRoot.DOUBLE)
TYPE_NAMES = ("+A", "+I", "-U", "+U", "-D")

Values = tuple[Any, ...]
Change = tuple[str, Values]


def make_schema(columns: Mapping[str, DataType], primary_key: Sequence[str]) -> Schema:
    """A schema; key columns become NOT NULL."""
    return Schema(
        tuple(
            Column(name, kind.with_nullable(kind.nullable and name not in primary_key), index)
            for index, (name, kind) in enumerate(columns.items())
        ),
        tuple(primary_key),
        highest_field_id=len(columns) - 1,
    )


SCHEMA = make_schema({"id": INT, "name": STRING, "score": DOUBLE}, ["id"])


def make_table(
    schema: Schema = SCHEMA, *, schema_id: int = 1, bucket_key: Sequence[str] = (), **properties: str
) -> TableInfo:
    """A table with one bucket; options as keyword arguments without ``table.`` and with ``_`` for ``.`` and ``-``."""
    names = {
        "kv_format": "table.kv.format",
        "log_format": "table.log.format",
        "delete_behavior": "table.delete.behavior",
        "changelog_image": "table.changelog.image",
        "merge_engine": "table.merge-engine",
        "version_column": "table.merge-engine.versioned.ver-column",
        "cache_size": "table.auto-increment.cache-size",
        "compression": "table.log.arrow.compression.type",
    }
    descriptor = TableDescriptor(
        schema,
        bucket_key=tuple(bucket_key) or schema.primary_key,
        bucket_count=1,
        properties={"table.kv.format-version": "2"} | {names[key]: value for key, value in properties.items()},
    )
    return TableInfo(TablePath("db", "t"), 7, schema_id, descriptor, NOW_MS, NOW_MS)


@dataclass
class Bucket:
    """A log with its KvTablet, and the encodings of its table."""

    directory: Path
    table: TableInfo
    log: LogTablet
    kv: KvTablet
    reserve_ids: Callable[[int], int] | None = None

    # ------------------------------------------------------------------ encoding

    def key(self, *values: Any) -> bytes:
        return encode_key(self.table, values)

    def row(self, values: Sequence[Any]) -> bytes:
        return row_codec(self.table.schema.types, self.table.kv_format).encode(values)

    def key_of_row(self, values: Sequence[Any]) -> bytes:
        return self.key(*(values[index] for index in self.table.schema.primary_key_indexes))

    def batch(
        self, upserts: Iterable[Sequence[Any]] = (), deletes: Iterable[Sequence[Any]] = (), **writer: int
    ) -> bytes:
        """A KV batch of rows to upsert, then keys to delete."""
        records: list[tuple[bytes, bytes | None]] = [(self.key_of_row(row), self.row(row)) for row in upserts]
        records += [(self.key(*key), None) for key in deletes]
        return build_kv_batch(self.table.schema_id, records, **writer)

    def decode(self, value: bytes | None) -> Values | None:
        """Values of a stored row."""
        if value is None:
            return None
        assert int.from_bytes(value[:2], "little") == self.table.schema_id
        return row_codec(self.table.schema.types, self.table.kv_format).decode(value[2:])

    # ------------------------------------------------------------------ use

    def write(
        self,
        upserts: Iterable[Sequence[Any]] = (),
        deletes: Iterable[Sequence[Any]] = (),
        targets: Sequence[int] = (),
        **writer: int,
    ) -> list[Change]:
        """Put one batch, commit it, and return its changelog."""
        upserts = list(upserts)
        self.supply_ids(len(upserts))
        result = self.kv.put(self.batch(upserts, deletes, **writer), targets)
        self.log.flush()
        self.kv.commit(result.last_offset + 1)
        return self.changes(result.base_offset)

    def supply_ids(self, count: int) -> None:
        """Reserve ids for a write that may insert ``count`` rows, as the event loop of a server does."""
        while self.kv.ids is not None and self.kv.ids.available < count:
            assert self.reserve_ids is not None
            size = self.table.auto_increment_cache_size
            self.kv.ids.add(self.reserve_ids(size), size)

    def get(self, *key: Any) -> Values | None:
        """The row with this key, as lookups see it."""
        return self.decode(self.kv.lookup([self.key(*key)])[0])

    def rows(self) -> dict[Values, Values]:
        """All visible rows by key, through a scan."""
        scan = self.kv.open_scan()
        found: dict[Values, Values] = {}
        while not scan.exhausted:
            for value in scan.next(64):
                row = self.decode(value)
                assert row is not None
                found[self.key_values(row)] = row
        scan.close()
        return found

    def key_values(self, row: Values) -> Values:
        return tuple(row[index] for index in self.table.schema.primary_key_indexes)

    def changes(self, from_offset: int = 0) -> list[Change]:
        """Changelog rows of the batches from an offset on."""
        return read_changelog(self.log, self.table.schema, from_offset, self.table.log_format)

    def replayed(self) -> dict[Values, Values]:
        """The rows that the changelog defines."""
        return replay_changes(self.table.schema, self.changes())

    def close(self) -> None:
        self.kv.close()
        self.log.close()

    def crash(self, target: Path) -> Bucket:
        """What a process finds that starts after this one was killed now; this one stays as it is."""
        copy_live(self.directory, target)
        return open_bucket(target, self.table)


def copy_live(source: Path, target: Path) -> None:
    """The files of an open bucket as a kill would leave them now, also while RocksDB works in the background."""
    for _ in range(_COPY_ATTEMPTS):
        before = _files(source, target)
        try:
            shutil.copytree(source, target)
        except shutil.Error:  # a file went away
            pass
        else:
            if _files(source, target) == before:
                return
        shutil.rmtree(target)
    raise AssertionError(f"the files below {source} never stood still")


def _files(directory: Path, target: Path) -> list[tuple[str, int]]:
    """Names and sizes of the files; the copy, and those that are gone already, are left out."""
    found = []
    for path in sorted(directory.rglob("*")):
        if path.is_relative_to(target):
            continue
        with contextlib.suppress(FileNotFoundError):
            found.append((str(path), path.stat().st_size))
    return found


_COPY_ATTEMPTS = 50


def encode_key(table: TableInfo, values: Sequence[Any]) -> bytes:
    """Key bytes, the default encoding."""
    types = [table.schema.types[index] for index in table.schema.primary_key_indexes]
    return key_encoder(types).encode(values)


def open_bucket(
    directory: Path,
    table: TableInfo | None = None,
    resources: KvResources | None = None,
    schemas: Mapping[int, Schema] | None = None,
    log_config: LogConfig | None = None,
    clock: Clock | None = None,
    reserve_ids: Callable[[int], int] | None = None,
    partition: Sequence[str] = (),
) -> Bucket:
    """Open or create log and KvTablet below ``directory``."""
    table = table or make_table()
    versions = {**(schemas or {}), table.schema_id: table.schema}
    log = LogTablet.open(
        directory / "log", log_config or LogConfig(), system_runtime(clock=clock or ManualClock(NOW_MS))
    )
    resources = resources or KvResources(system_runtime())
    kv = KvTablet.open(directory / "kv", table, versions.__getitem__, log, resources, partition)
    return Bucket(directory, table, log, kv, reserve_ids)


def read_changelog(
    log: LogTablet, schema: Schema, from_offset: int = 0, log_format: LogFormat = LogFormat.ARROW
) -> list[Change]:
    """Change type and row of every row of the batches from an offset on."""
    changes: list[Change] = []
    for header, data in log.batches(from_offset, log.end_offset):
        if log_format is not LogFormat.ARROW:
            kinds, images = decode_row_batch(data, header)
            codec = row_codec(schema.types, KvFormat(log_format.value))
            changes += [(TYPE_NAMES[kind], codec.decode(image)) for kind, image in zip(kinds, images, strict=True)]
            continue
        types, rows = decode_batch(data, header, arrow_schema(schema))
        assert types is not None
        columns = [from_arrow(column, kind) for column, kind in zip(rows.columns, schema.types, strict=True)]
        if header.record_count:
            changes += zip((TYPE_NAMES[kind] for kind in types), zip(*columns, strict=True), strict=True)
    return changes


def replay_changes(schema: Schema, changes: Iterable[Change]) -> dict[Values, Values]:
    """Rows by key after these changes, each of which must fit what was there before."""
    state: dict[Values, Values] = {}
    for kind, row in changes:
        key = tuple(row[index] for index in schema.primary_key_indexes)
        if kind == "+I":
            assert key not in state, f"+I of {key}, which is there"
            state[key] = row
        elif kind == "+U":
            assert key in state, f"+U of {key}, which is not there"
            state[key] = row
        else:
            assert state[key] == row, f"{kind} of {key} with a row that is not the present one"
            if kind == "-D":
                del state[key]
    return state


__all__ = [
    "DOUBLE",
    "INT",
    "SCHEMA",
    "STRING",
    "Bucket",
    "Change",
    "KvFormat",
    "encode_key",
    "make_schema",
    "make_table",
    "open_bucket",
    "read_changelog",
    "replay_changes",
]


def let_scans_never_end(patched: pytest.MonkeyPatch) -> threading.Event:
    """Make scans of KvTablets begin again at their end, and one step of them take all rows.

    Returns:
        set when a scan has read all rows once: it is in the middle of a step then.
    """
    read = StoreSnapshot.rows
    reading = threading.Event()

    def endless(snapshot: StoreSnapshot, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        while True:
            yield from read(snapshot, start)
            reading.set()

    patched.setattr(StoreSnapshot, "rows", endless)
    patched.setattr(scan, "_MAX_STEP_ROWS", 1 << 60)
    return reading
