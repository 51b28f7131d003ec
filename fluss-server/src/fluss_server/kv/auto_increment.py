"""Auto-increment columns: every new row gets a number that no row of the table had before.

A bucket reserves a range of ids at a time (``table.auto-increment.cache-size``) from a counter that is durable before
the range is used, and hands them out in order. The event loop reserves them ahead of need (``id_supply.py``), so that
the KV worker never waits for the network. What is left of a range when the server stops is never used: ids have gaps,
and are unique whatever happens. Writers name their target columns, and the column is not among them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.row_codec import field_images
from fluss_server.formats.value_batch import encode_value
from fluss_server.kv.merge_engines.row_merger import CodecOf, fields_of, invalid_targets
from fluss_server.model.table import TableInfo
from fluss_server.model.types import TypeRoot
from fluss_server.runtime import Lock

_GREATEST = {TypeRoot.INTEGER: 2**31 - 1, TypeRoot.BIGINT: 2**63 - 1}


class IdPool:
    """Reserved ids for the new rows of one bucket: the event loop adds ranges, the KV worker takes ids.

    Args:
        lock: its own.

    Attributes:
        available: how many ids there are. Any thread.
    """

    def __init__(self, lock: Lock) -> None:
        self._lock = lock
        self._ranges: deque[tuple[int, int]] = deque()
        self._next = self._end = 0
        self.available = 0

    def add(self, first: int, count: int) -> None:
        """Add ``count`` ids in a row, which were reserved."""
        with self._lock:
            self._ranges.append((first, first + count))
            self.available += count

    def take(self, greatest: int) -> int:
        """An id that was never given; ``OPERATION_NOT_ATTEMPTED_EXCEPTION`` when it would be more than ``greatest``."""
        with self._lock:
            if self._next == self._end:
                assert self._ranges, "ids are reserved before rows are inserted"
                self._next, self._end = self._ranges.popleft()
            if self._next > greatest:
                raise no_ids_left(greatest)
            self._next += 1
            self.available -= 1
            return self._next - 1


def no_ids_left(greatest: int) -> FlussError:
    """The error of a column whose ids are used up."""
    return FlussError(
        ErrorCode.OPERATION_NOT_ATTEMPTED_EXCEPTION,
        f"the auto-increment column is used up: its greatest value is {greatest}",
        hint="create a table with a BIGINT column" if greatest < 2**63 - 1 else "create another table",
    )


class AutoIncrement:
    """Fills the auto-increment column of a table, for one version of its schema.

    Args:
        table: with such a column.
        ids: where its values come from.
        codec: gives the row codec of a schema id.
    """

    def __init__(self, table: TableInfo, ids: IdPool, codec: CodecOf) -> None:
        schema = table.schema
        name = schema.auto_increment_column
        assert name is not None, "the table has an auto-increment column"
        self._index = schema.names.index(name)
        self._name = name
        self._count = len(schema.columns)
        self._greatest = _GREATEST[schema.types[self._index].root]
        self._write = field_images(schema.types[self._index], table.kv_format).write
        self._schema_id = table.schema_id
        self._ids = ids
        self._codec = codec

    def check_targets(self, target_columns: Sequence[int]) -> None:
        """``INVALID_TARGET_COLUMN`` if a write would set the column, or names no target columns."""
        if not target_columns or self._index in target_columns:
            raise invalid_targets(
                f"the server fills in column {self._name!r}",
                hint="write with target columns, and leave this one out",
            )

    def fill(self, value: bytes) -> bytes:
        """The value of a new row, in the latest schema, with the next id; errors as :meth:`IdPool.take`."""
        fields = fields_of(value, self._codec, self._count)
        fields[self._index] = self._write(self._ids.take(self._greatest))
        return encode_value(self._schema_id, self._codec(self._schema_id).join(fields))
