"""Whether an Arrow log batch matches the schema of its table: its structure is checked, no value is decoded.

The server stores batches as clients send them, so a batch of another structure would stop every later reader of the
bucket. The check reads the metadata and, for compressed buffers, the first eight bytes of each: numbers of fields and
buffers, rows of each field, and whether each buffer is long enough for the type at its place. It costs some
microseconds per batch.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.arrow_message import RecordBatchMessage, parse_message
from fluss_server.formats.buffer import Buffer
from fluss_server.formats.log_batch import BatchHeader
from fluss_server.model.types import DataType, TypeRoot

_I64 = struct.Struct("<q")
_MAX_BUFFER_BYTES = 2**31 - 1
_STORED_RAW = -1

# Bits of one value of the fixed-width types; TIME and DECIMAL depend on more than the root.
_BITS = {
    TypeRoot.BOOLEAN: 1,
    TypeRoot.TINYINT: 8,
    TypeRoot.SMALLINT: 16,
    TypeRoot.INTEGER: 32,
    TypeRoot.BIGINT: 64,
    TypeRoot.FLOAT: 32,
    TypeRoot.DOUBLE: 64,
    TypeRoot.DECIMAL: 128,
    TypeRoot.DATE: 32,
    TypeRoot.TIMESTAMP: 64,
    TypeRoot.TIMESTAMP_LTZ: 64,
}
_VARIABLE = frozenset({TypeRoot.CHAR, TypeRoot.STRING, TypeRoot.BYTES})

# What the buffers of a node must look like; fixed-width values are told by their positive number of bits.
_OFFSETS = -1  # list and map
_OFFSETS_AND_DATA = -2  # text and bytes
_BARE = -3  # struct: a validity buffer only


class _Step(NamedTuple):
    """What one field node of a batch must be.

    Attributes:
        what: bits of a value, or one of the constants above.
        parent: 1 + the number of the node that has as many values; 0 = as many as the batch; -1 = any number.
        nullable: False refuses nulls.
    """

    what: int
    parent: int
    nullable: bool


class BatchValidator:
    """Validates the batches of a table.

    Args:
        types: column types in order.
    """

    def __init__(self, types: tuple[DataType, ...]) -> None:
        self._plan: list[_Step] = []
        for data_type in types:
            self._add(data_type, 0, data_type.nullable)
        self._buffers = sum({_OFFSETS_AND_DATA: 3, _BARE: 1}.get(step.what, 2) for step in self._plan)

    def _add(self, data_type: DataType, parent: int, nullable: bool = True) -> None:
        """Append the steps of a type, depth first. Fields below a null ROW are null, whatever they declare."""
        root = data_type.root
        node = len(self._plan) + 1
        if root in _VARIABLE:
            self._plan.append(_Step(_OFFSETS_AND_DATA, parent, nullable))
        elif root is TypeRoot.ARRAY:
            assert data_type.element is not None
            self._plan.append(_Step(_OFFSETS, parent, nullable))
            self._add(data_type.element, -1)
        elif root is TypeRoot.MAP:
            assert data_type.key is not None
            assert data_type.element is not None
            entries = node + 1
            self._plan.append(_Step(_OFFSETS, parent, nullable))
            self._plan.append(_Step(_BARE, -1, nullable=False))  # Arrow C++ ends its process on null entries or keys
            self._add(data_type.key, entries, nullable=False)
            self._add(data_type.element, entries)
        elif root is TypeRoot.ROW:
            self._plan.append(_Step(_BARE, parent, nullable))
            for field in data_type.fields:
                self._add(field.type, node)
        elif root is TypeRoot.BINARY:
            self._plan.append(_Step(8 * data_type.length, parent, nullable))
        elif root is TypeRoot.TIME:
            self._plan.append(_Step(32 if data_type.precision <= 3 else 64, parent, nullable))
        else:
            self._plan.append(_Step(_BITS[root], parent, nullable))

    def check(self, batch: Buffer, header: BatchHeader) -> None:
        """Raise unless the batch matches.

        Args:
            batch: the whole batch.
            header: its header; the CRC is checked elsewhere.

        Raises:
            FlussError: ``CORRUPT_RECORD_EXCEPTION`` with the reason.
        """
        if header.record_count == 0:
            return
        position = header.header_size + (0 if header.append_only else header.record_count)
        message = parse_message(batch, position, header.size)
        if message.row_count != header.record_count:
            raise violation(f"{message.row_count} rows in the Arrow data, {header.record_count} in the header")
        if len(message.nodes) != 2 * len(self._plan) or len(message.buffers) != 2 * self._buffers:
            raise violation(
                f"{len(message.nodes) // 2} fields and {len(message.buffers) // 2} buffers, but the table has "
                f"{len(self._plan)} fields and {self._buffers} buffers"
            )
        lengths = self._lengths(batch, message)
        for number, (what, parent, nullable) in enumerate(self._plan):
            count, nulls = message.nodes[2 * number : 2 * number + 2]
            wanted = header.record_count if parent == 0 else message.nodes[2 * (parent - 1)] if parent > 0 else count
            if count != wanted or nulls > count:
                raise violation(f"field {number} has {count} values and {nulls} nulls where {wanted} values are due")
            if nulls and not nullable:
                raise violation(f"field {number} has {nulls} nulls, and may have none")
            self._check_node(number, what, count, nulls, lengths)

    @staticmethod
    def _check_node(number: int, what: int, count: int, nulls: int, lengths: Iterator[int]) -> None:
        if nulls and next(lengths) * 8 < count:
            raise violation(f"the validity of field {number} is too short for {count} values")
        if not nulls:
            next(lengths)  # a validity buffer may be left out
        if what == _BARE:
            return
        length = next(lengths)
        if what in (_OFFSETS, _OFFSETS_AND_DATA):
            needed = 4 * (count + 1) if count else 0
            if what == _OFFSETS_AND_DATA:
                next(lengths)
        else:
            needed = (count * what + 7) // 8
        if length < needed:
            raise violation(f"field {number} needs {needed} bytes for {count} values, its buffer has {length}")

    @staticmethod
    def _lengths(batch: Buffer, message: RecordBatchMessage) -> Iterator[int]:
        """Uncompressed length of each buffer."""
        for index in range(0, len(message.buffers), 2):
            offset, length = message.buffers[index : index + 2]
            if message.codec is None or length == 0:
                yield length
                continue
            if length < _I64.size:
                raise violation(f"compressed buffer {index // 2} has only {length} bytes")
            size = _I64.unpack_from(batch, message.body_position + offset)[0]
            if size == _STORED_RAW:
                size = length - _I64.size
            if not 0 <= size <= _MAX_BUFFER_BYTES:
                raise violation(f"compressed buffer {index // 2} claims {size} bytes")
            yield size


def violation(reason: str) -> FlussError:
    """The error of a batch that cannot belong to its table."""
    return FlussError(
        ErrorCode.CORRUPT_RECORD_EXCEPTION,
        f"the batch does not match the schema of the table: {reason}",
        hint="write batches with the table's columns, in order and of its types",
    )
