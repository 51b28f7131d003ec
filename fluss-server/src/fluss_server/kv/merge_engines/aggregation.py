"""The aggregation engine: every column has a function that combines what is there with what is written."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from fluss_server.formats.value_batch import encode_value
from fluss_server.kv.merge_engines.default import PartialDelete
from fluss_server.kv.merge_engines.functions import Combine, ListBudget, column_function, keep, last_value
from fluss_server.kv.merge_engines.row_merger import CodecOf, fields_of
from fluss_server.model.schema import Schema
from fluss_server.model.table import KvFormat

MAX_LIST_CHARACTERS = 16 << 20
"""Of the listagg values that one batch may build: each is written whole, and twice into the changelog."""


class AggregateMerger:
    """All columns are combined; a delete removes the row.

    The first row of a key is kept as it was sent, in its writer's schema. Results are of the latest schema.

    Args:
        schema: latest schema of the table.
        schema_id: its id.
        kv_format: of the table's rows.
        codec: gives the row codec of a schema id.
    """

    ignores_old = False

    def __init__(self, schema: Schema, schema_id: int, kv_format: KvFormat, codec: CodecOf) -> None:
        self._combine = _Combiner(schema, schema_id, kv_format, codec, None)

    def begin_batch(self) -> None:
        """See ``BoundsBatches``."""
        self._combine.lists.begin_batch()

    def upsert(self, old: bytes | None, new: bytes) -> bytes:
        return new if old is None else self._combine(old, new)

    def delete(self, old: bytes) -> bytes | None:
        return None


class PartialAggregateMerger(PartialDelete):
    """The target columns are combined, the others stay; a delete nulls the targets.

    Args:
        schema: latest schema of the table.
        schema_id: its id.
        kv_format: of the table's rows.
        targets: positions of the target columns in ``schema``.
        codec: gives the row codec of a schema id.

    Raises:
        FlussError: ``INVALID_TARGET_COLUMN`` as for partial updates.
    """

    def __init__(
        self, schema: Schema, schema_id: int, kv_format: KvFormat, targets: Collection[int], codec: CodecOf
    ) -> None:
        super().__init__(schema, schema_id, targets, codec)
        self._combine = _Combiner(schema, schema_id, kv_format, codec, targets)

    def begin_batch(self) -> None:
        """See ``BoundsBatches``."""
        self._combine.lists.begin_batch()

    def upsert(self, old: bytes | None, new: bytes) -> bytes:
        return new if old is None else self._combine(old, new)


class _Combiner:
    def __init__(
        self,
        schema: Schema,
        schema_id: int,
        kv_format: KvFormat,
        codec: CodecOf,
        targets: Collection[int] | None,
    ) -> None:
        self._schema_id = schema_id
        self._codec = codec
        self.lists = ListBudget(MAX_LIST_CHARACTERS)
        self._functions = _functions(schema, kv_format, targets, self.lists)

    def __call__(self, old: bytes, new: bytes) -> bytes:
        count = len(self._functions)
        there, sent = fields_of(old, self._codec, count), fields_of(new, self._codec, count)
        fields = [function(a, b) for function, a, b in zip(self._functions, there, sent, strict=True)]
        return encode_value(self._schema_id, self._codec(self._schema_id).join(fields))


def _functions(
    schema: Schema, kv_format: KvFormat, targets: Collection[int] | None, lists: ListBudget
) -> Sequence[Combine]:
    functions: list[Combine] = []
    for index, column in enumerate(schema.columns):
        if index in schema.primary_key_indexes:
            functions.append(last_value)
        elif targets is not None and index not in targets:
            functions.append(keep)
        else:
            functions.append(column_function(column, kv_format, lists))
    return functions
