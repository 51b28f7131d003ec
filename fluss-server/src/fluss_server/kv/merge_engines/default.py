"""The default engine: the last row of a key wins, or the last value of each target column."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from fluss_server.formats.value_batch import encode_value
from fluss_server.kv.merge_engines.row_merger import CodecOf, check_target_columns, fields_of
from fluss_server.model.schema import FIRST_SCHEMA_ID, Schema
from fluss_server.model.table import KvFormat

_SPLICED_FROM_ROWS = 64


class ReplaceMerger:
    """All columns: the last row wins."""

    ignores_old = True

    def upsert(self, old: bytes | None, new: bytes) -> bytes:
        return new

    def delete(self, old: bytes) -> bytes | None:
        return None


class PartialDelete:
    """A delete that names target columns: it nulls them, and removes the row when no other column has a value.

    Args:
        schema: latest schema of the table.
        schema_id: its id; results are written with it.
        targets: positions of the target columns in ``schema``.
        codec: gives the row codec of a schema id.

    Raises:
        FlussError: ``INVALID_TARGET_COLUMN`` unless the targets exist and include the primary key, and all other
            columns of the table are nullable.
    """

    ignores_old = False

    def __init__(self, schema: Schema, schema_id: int, targets: Collection[int], codec: CodecOf) -> None:
        check_target_columns(schema, targets)
        keys = schema.primary_key_indexes
        self._schema_id = schema_id
        self._codec = codec
        self._is_target = [index in targets for index in range(len(schema.columns))]
        self._is_nulled = [target and index not in keys for index, target in enumerate(self._is_target)]

    def delete(self, old: bytes) -> bytes | None:
        fields = self._fields(old)
        if all(target or held is None for target, held in zip(self._is_target, fields, strict=True)):
            return None
        return self._value([None if nulled else held for nulled, held in zip(self._is_nulled, fields, strict=True)])

    def _fields(self, value: bytes) -> list[bytes | None]:
        return fields_of(value, self._codec, len(self._is_target))

    def _value(self, fields: list[bytes | None]) -> bytes:
        return encode_value(self._schema_id, self._codec(self._schema_id).join(fields))


class PartialMerger(PartialDelete):
    """Some target columns: an upsert leaves the others, a delete nulls the targets.

    Arguments as for :class:`PartialDelete`.

    Args:
        kv_format: format of the rows.
    """

    def __init__(
        self, schema: Schema, schema_id: int, targets: Collection[int], codec: CodecOf, kv_format: KvFormat
    ) -> None:
        super().__init__(schema, schema_id, targets, codec)
        self._types = schema.types
        self._splices = kv_format is KvFormat.COMPACTED and any(self._is_nulled)
        self._prefix = encode_value(schema_id, b"")

    def upsert_all(self, olds: Sequence[bytes | None], news: Sequence[bytes]) -> list[bytes] | None:
        """See ``MergesTogether``."""
        if not self._splices or len(news) < _SPLICED_FROM_ROWS:
            return None
        prefix = self._prefix
        present = [old for old in olds if old is not None]
        if self._schema_id != FIRST_SCHEMA_ID and not all(value.startswith(prefix) for value in (*present, *news)):
            return None
        from fluss_server.formats.row_splicing import RowSplicer

        splicer = RowSplicer(self._types, self._is_target)
        if len(present) < len(olds):
            absent = prefix + splicer.empty_row
            present = [absent if old is None else old for old in olds]
        return splicer.splice(present, news, skip=len(prefix), prefix=prefix)

    def upsert(self, old: bytes | None, new: bytes) -> bytes:
        if old is None:
            kept: list[bytes | None] = [None] * len(self._is_target)
        elif not any(self._is_nulled):  # the key alone
            return old
        else:
            kept = self._fields(old)
        fields = zip(self._is_target, self._fields(new), kept, strict=True)
        return self._value([sent if target else held for target, sent, held in fields])
