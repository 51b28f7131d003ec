"""The versioned engine: a row with a smaller version changes nothing. It has neither partial updates nor deletes."""

from __future__ import annotations

from typing import Any

from fluss_server.formats.value_batch import SCHEMA_ID_SIZE
from fluss_server.kv.merge_engines.row_merger import CodecOf, schema_id_of
from fluss_server.model.schema import Schema
from fluss_server.model.types import TypeRoot

_MIN_INT, _MIN_BIGINT = -(2**31), -(2**63)
_SMALLEST: dict[TypeRoot, Any] = {
    TypeRoot.INTEGER: _MIN_INT,
    TypeRoot.BIGINT: _MIN_BIGINT,
    TypeRoot.TIMESTAMP: (_MIN_BIGINT, 0),
    TypeRoot.TIMESTAMP_LTZ: (_MIN_BIGINT, 0),
}

VERSION_ROOTS = frozenset(_SMALLEST)
"""Kinds of columns that may hold the version of a row."""


class VersionedMerger:
    """A row is replaced by one of the same or a greater version; NULL is the smallest version.

    Args:
        schema: latest schema of the table.
        version_column: its name, of one of :data:`VERSION_ROOTS`.
        codec: gives the row codec of a schema id.
    """

    ignores_old = False

    def __init__(self, schema: Schema, version_column: str, codec: CodecOf) -> None:
        self._index = schema.indexes_of([version_column])[0]
        self._smallest = _SMALLEST[schema.types[self._index].root]
        self._codec = codec

    def upsert(self, old: bytes | None, new: bytes) -> bytes:
        if old is None or self._version(old) <= self._version(new):
            return new
        return old

    def delete(self, old: bytes) -> bytes | None:
        raise AssertionError("tables with the versioned engine cannot allow deletes")

    def _version(self, value: bytes) -> Any:
        version = self._codec(schema_id_of(value)).field(value[SCHEMA_ID_SIZE:], self._index)
        return self._smallest if version is None else version
