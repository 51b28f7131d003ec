"""Column projection of Arrow log batches without decoding them (docs/formats/arrow.md).

A projected batch has the header of the original with a new length and no statistics, its change types, a new
RecordBatch message with the nodes of the wanted columns, and their buffers as they are, compressed or not. The CRC is
left as it was and no longer matches; clients that request a projection do not check it.

Clients read every projected batch with the columns they requested, whatever schema it names. So a batch of an older
schema gets columns of nulls for those it lacks; the official server refuses to project it. (Columns are only ever added
at the end: a position means the same column in every schema that has it.)
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from operator import add
from typing import NamedTuple

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.arrow_message import build_metadata, parse_message_head
from fluss_server.formats.buffer import Buffer
from fluss_server.formats.log_batch import FIXED_HEADER_SIZES, LENGTH_OFFSET, LENGTH_OVERHEAD, BatchHeader
from fluss_server.formats.null_columns import null_columns
from fluss_server.model.schema import Schema
from fluss_server.model.types import DataType, TypeRoot

_LENGTH = struct.Struct("<i")
_ALIGNMENT = 8
_THREE_BUFFERS = frozenset({TypeRoot.CHAR, TypeRoot.STRING, TypeRoot.BYTES})  # validity, offsets, data


def check_projection(fields: Sequence[int], column_count: int) -> None:
    """Check the column positions of a request.

    Raises:
        FlussError: ``INVALID_COLUMN_PROJECTION`` unless they are at least one, strictly ascending, and below
            ``column_count``.
    """
    if not fields:
        raise _invalid("no columns are requested")
    if any(one >= other for one, other in pairwise(fields)):
        raise _invalid(f"the columns {list(fields)} are not strictly ascending")
    if fields[0] < 0 or fields[-1] >= column_count:
        raise _invalid(f"the columns {list(fields)} are not all among the {column_count} of the table")


class ProjectedBatch(NamedTuple):
    """What a projected batch is made of, in this order.

    Attributes:
        head: header, change types and metadata.
        spans: (start, end) in the original batch of what is taken from its body.
        tail: buffers that it does not have.
        size: bytes of all.
    """

    head: Buffer
    spans: list[tuple[int, int]]
    tail: bytes
    size: int


class TableProjector:
    """Projects batches of every schema of a table.

    Args:
        fields: positions of the wanted columns in ``newest``.
        newest: newest schema of the table.
        schemas: schema of a schema id; raises ``SCHEMA_NOT_EXIST``.

    Raises:
        FlussError: as :func:`check_projection`.
    """

    def __init__(self, fields: tuple[int, ...], newest: Schema, schemas: Callable[[int], Schema]) -> None:
        check_projection(fields, len(newest.columns))
        self._fields = fields
        self._types = [newest.types[field] for field in fields]
        self._schemas = schemas
        self._projectors: dict[int, BatchProjector] = {}

    def project(self, batch: Buffer, header: BatchHeader) -> list[Buffer]:
        """As :meth:`BatchProjector.project`; ``RECORD_TOO_LARGE_EXCEPTION`` if that takes too many nulls."""
        return self._of_schema(header.schema_id).project(batch, header)

    def plan(self, head: Buffer, header: BatchHeader) -> ProjectedBatch:
        """As :meth:`BatchProjector.plan`; ``RECORD_TOO_LARGE_EXCEPTION`` if that takes too many nulls."""
        return self._of_schema(header.schema_id).plan(head, header)

    def _of_schema(self, schema_id: int) -> BatchProjector:
        return self._projectors.get(schema_id) or self._projector(schema_id)

    def _projector(self, schema_id: int) -> BatchProjector:
        schema = self._schemas(schema_id)
        count = sum(field < len(schema.columns) for field in self._fields)
        projector = BatchProjector(schema, self._fields[:count], self._types[count:])
        self._projectors[schema_id] = projector
        return projector


class BatchProjector:
    """Projects batches of one schema to some of its columns.

    Args:
        schema: schema of the batches (the one their schema id names).
        fields: positions of the wanted columns, ascending.
        missing: types of further columns, which the schema lacks and which become null.
    """

    def __init__(self, schema: Schema, fields: tuple[int, ...], missing: Sequence[DataType] = ()) -> None:
        self._missing = tuple(missing)
        counts = [nodes_and_buffers(data_type) for data_type in schema.types]
        nodes = [0, *accumulate(count for count, _ in counts)]
        buffers = [0, *accumulate(count for _, count in counts)]
        self._node_count = nodes[-1]
        self._buffer_count = buffers[-1]
        # Neighbouring columns form one run: their nodes, and their part of the body, are copied as one piece.
        self._runs = [
            (nodes[first], nodes[last + 1], buffers[first], buffers[last + 1]) for first, last in _runs(fields)
        ]

    def project(self, batch: Buffer, header: BatchHeader) -> list[Buffer]:
        """Pieces of the projected batch, to be sent one after the other.

        Args:
            batch: the whole batch; the pieces refer to its memory.
            header: of the batch.

        Raises:
            FlussError: ``CORRUPT_RECORD_EXCEPTION`` if it is not an Arrow batch of the schema.
        """
        view = memoryview(batch)[: header.size]
        if len(view) < header.size:
            raise _corrupt(f"{len(view)} bytes, its header says {header.size}")
        head, spans, tail, _ = self.plan(view, header)
        return [head, *(view[start:end] for start, end in spans), tail]

    def plan(self, head: Buffer, header: BatchHeader) -> ProjectedBatch:
        """How the projected batch is made.

        Args:
            head: the batch, at least to the end of its metadata.
            header: of the batch.

        Raises:
            FlussError: as :meth:`project`.
        """
        view = memoryview(head)
        if header.record_count == 0:
            return ProjectedBatch(bytes(view[: header.size]), [], b"", header.size)
        message = parse_message_head(view, header.payload_offset, header.size)
        if len(message.nodes) != 2 * self._node_count or len(message.buffers) != 2 * self._buffer_count:
            raise _corrupt(
                f"{len(message.nodes) // 2} fields and {len(message.buffers) // 2} buffers, "
                f"its schema has {self._node_count} and {self._buffer_count}"
            )
        nodes: list[int] = []
        buffers: list[int] = []
        spans: list[tuple[int, int]] = []
        tail = b""
        position = 0
        all_buffers = message.buffers
        for first_node, end_node, first_buffer, end_buffer in self._runs:
            nodes += message.nodes[2 * first_node : 2 * end_node]
            run = all_buffers[2 * first_buffer : 2 * end_buffer]
            start = run[0]
            end = all_buffers[2 * end_buffer] if end_buffer < self._buffer_count else message.body_length
            offsets, lengths = run[0::2], run[1::2]
            if min(offsets) < start or max(map(add, offsets, lengths)) > end:
                raise _corrupt("its buffers are not in the order of its fields")
            shift = position - start
            for offset, length in zip(offsets, lengths, strict=True):
                buffers.append(offset + shift)
                buffers.append(length)
            spans.append((message.body_position + start, message.body_position + end))
            position += end - start
        if self._missing:
            nulls = null_columns(self._missing, message.row_count, message.codec)
            padding = bytes(-position % _ALIGNMENT)
            position += len(padding)
            nodes += nulls.nodes
            for index in range(0, len(nulls.buffers), 2):
                buffers += (nulls.buffers[index] + position, nulls.buffers[index + 1])
            tail = padding + nulls.body
            position += len(nulls.body)
        metadata = build_metadata(message.row_count, nodes, buffers, position, message.codec)
        fixed_size = FIXED_HEADER_SIZES[header.magic]
        new_head = bytearray(view[:fixed_size])
        if header.magic > 0:
            _LENGTH.pack_into(new_head, fixed_size - _LENGTH.size, 0)  # statistics
        new_head += view[header.header_size : header.payload_offset]
        new_head += metadata
        size = len(new_head) + position
        _LENGTH.pack_into(new_head, LENGTH_OFFSET, size - LENGTH_OVERHEAD)
        return ProjectedBatch(bytes(new_head), spans, tail, size)


def nodes_and_buffers(data_type: DataType) -> tuple[int, int]:
    """Number of field nodes and of buffers that a column takes in an Arrow batch, nested children included."""
    root = data_type.root
    if root in _THREE_BUFFERS:
        return 1, 3
    children: list[DataType] = []
    nodes, buffers = 1, 2
    if root is TypeRoot.ARRAY:
        assert data_type.element is not None
        children = [data_type.element]
    elif root is TypeRoot.MAP:
        assert data_type.key is not None
        assert data_type.element is not None
        children = [data_type.key, data_type.element]
        nodes, buffers = 2, 3  # the struct of the entries has a node and a validity buffer
    elif root is TypeRoot.ROW:
        children = [field.type for field in data_type.fields]
        buffers = 1
    for child in children:
        child_nodes, child_buffers = nodes_and_buffers(child)
        nodes += child_nodes
        buffers += child_buffers
    return nodes, buffers


def _runs(fields: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of each run of neighbouring numbers."""
    runs: list[tuple[int, int]] = []
    for field in fields:
        if runs and runs[-1][1] == field - 1:
            runs[-1] = runs[-1][0], field
        else:
            runs.append((field, field))
    return runs


def _invalid(message: str) -> FlussError:
    return FlussError(
        ErrorCode.INVALID_COLUMN_PROJECTION,
        f"invalid projection: {message}",
        hint="send ascending positions of columns of the table's latest schema",
    )


def _corrupt(reason: str) -> FlussError:
    return FlussError(ErrorCode.CORRUPT_RECORD_EXCEPTION, f"corrupt Arrow batch: {reason}")
