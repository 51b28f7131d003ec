"""Projected batches read from a file are those of the projector, however they are read."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.arrow_batch import encode_payload
from fluss_server.formats.log_batch import build_batch, parse_header
from fluss_server.formats.projection import TableProjector
from fluss_server.model.schema import Schema
from fluss_server.model.table import ArrowCompression
from fluss_server.runtime.disk import FileRegion
from fluss_server.runtime.system_disk import SystemFile
from fluss_server.tablet.projected_read import project_batches
from vectors_loader import schema_of

NAMES = "abcdefghijkl"
COLUMNS = [{"name": name, "json": {"type": "BIGINT"}} for name in NAMES]
NEWEST, OLDER = schema_of(COLUMNS), schema_of(COLUMNS[:8])


def batch_of(rows: int, schema: Schema = NEWEST, change_types: bytes | None = None) -> bytes:
    count = len(schema.columns)
    arrays = [pa.array(range(column, column + rows), pa.int64()) for column in range(count)]
    batch = pa.record_batch(arrays, names=list(NAMES[:count]))
    payload = encode_payload(batch, ArrowCompression.NONE) if rows else b""
    schema_id = 2 if schema is NEWEST else 1
    return bytes(build_batch(schema_id, change_types=change_types, payload=payload, record_count=rows))


def projector(*fields: int) -> TableProjector:
    return TableProjector(fields, NEWEST, {1: OLDER, 2: NEWEST}.__getitem__)


@dataclass
class Stored:
    path: Path
    file: SystemFile

    def region(self, *batches: bytes) -> FileRegion:
        """The batches in the file, behind something else."""
        data = b"".join(batches)
        self.path.write_bytes(bytes(100) + data + bytes(100))
        return FileRegion(self.file, 100, len(data))


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    path = tmp_path / "log"
    return Stored(path, SystemFile(path, create=True))


def test_equals_the_projection_of_whole_batches(stored: Stored) -> None:
    sizes = [1, 0, 7, 330, 340, 341, 342, 345, 2, 450, 3_000, 40_000, 0, 1]
    batches = [batch_of(rows, schema) for rows in sizes for schema in (NEWEST, OLDER)]
    batches.append(batch_of(50_000, change_types=bytes(50_000)))  # its metadata are far from its start
    region = stored.region(*batches)
    for fields in ((0,), (11,), (1, 2), (0, 3, 5), tuple(range(0, 12, 2)), tuple(range(12))):
        chosen = projector(*fields)
        found = [
            (header, b"".join(piece.read() if isinstance(piece, FileRegion) else piece for piece in pieces), size)
            for header, pieces, size in project_batches(region, chosen)
        ]
        assert [data for _, data, _ in found] == [b"".join(chosen.project(one, parse_header(one))) for one in batches]
        assert [header for header, _, _ in found] == [parse_header(one) for one in batches]
        assert all(size == len(data) for _, data, size in found)


def test_large_batches_stay_in_the_file(stored: Stored) -> None:
    small, large = batch_of(10), batch_of(10_000)
    region = stored.region(small, large, large)
    (_, copied, _), (_, first, _), (_, second, _) = project_batches(region, projector(2, 5))
    assert [type(piece) for piece in copied] == [bytes]
    body = 100 + len(small) + len(large) - 12 * 80_000
    regions = [FileRegion(stored.file, body + column * 80_000, 80_000) for column in (2, 5)]
    assert first[1:] == regions
    moved = [FileRegion(one.file, one.position + len(large), one.length) for one in regions]
    assert second[1:] == moved


def test_many_small_parts_are_read_as_a_whole(stored: Stored) -> None:
    """A call of the system for each of them would cost more."""
    chosen = projector(0, 2, 4, 6, 8, 10)
    region = stored.region(batch_of(450), batch_of(450), batch_of(600))
    assert [len(pieces) for _, pieces, _ in project_batches(region, chosen)] == [1, 1, 7]


def test_damaged_batches_are_refused(stored: Stored) -> None:
    whole = batch_of(6_000)
    longer = bytearray(whole)
    struct.pack_into("<i", longer, 8, len(whole) - 12 + 8)
    cases = [whole[:30], whole[:-8], bytes(longer), b"\xff" * 100]
    for data in cases:
        region = stored.region(data)
        with pytest.raises(FlussError) as caught:
            list(project_batches(region, projector(0)))
        assert caught.value.code is ErrorCode.CORRUPT_RECORD_EXCEPTION
