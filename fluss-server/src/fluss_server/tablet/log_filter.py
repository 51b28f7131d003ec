"""The filter of a FETCH_LOG request: which batches a reader may want, evaluated by their statistics.

A filter is a hint: readers check rows again. So whatever is unclear - an unknown schema, a column that a batch has no
statistics of, statistics that cannot be read, a function of a later version - lets batches through.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from fluss_server.api import messages as pb
from fluss_server.errors import FlussError
from fluss_server.formats.buffer import Buffer
from fluss_server.formats.log_batch import BatchHeader
from fluss_server.formats.predicate import Compound, Leaf, LeafFunction, Predicate
from fluss_server.formats.scalars import TEXT_ROOTS, TIMESTAMP_ROOTS, decode_unscaled
from fluss_server.formats.statistics import ColumnStatistics, StatisticsCodec
from fluss_server.model.schema import Schema
from fluss_server.model.types import DataType, TypeRoot

logger = logging.getLogger(__name__)

MAX_TERMS = 1_000
"""Most leaves and literals of a filter; a larger one is not worth evaluating for every batch."""

_LEAF, _COMPOUND = 0, 1
_AND, _OR = 0, 1

# Literal types of the protocol, by the root of the column that they are for.
_LITERAL_TYPES = {
    TypeRoot.BOOLEAN: 0,
    TypeRoot.TINYINT: 1,
    TypeRoot.SMALLINT: 2,
    TypeRoot.INTEGER: 3,
    TypeRoot.BIGINT: 4,
    TypeRoot.FLOAT: 5,
    TypeRoot.DOUBLE: 6,
    TypeRoot.CHAR: 7,
    TypeRoot.STRING: 8,
    TypeRoot.DECIMAL: 9,
    TypeRoot.DATE: 10,
    TypeRoot.TIME: 11,
    TypeRoot.TIMESTAMP: 12,
    TypeRoot.TIMESTAMP_LTZ: 13,
}
_VALUE_FIELDS = {
    TypeRoot.BOOLEAN: "boolean_value",
    TypeRoot.TINYINT: "int_value",
    TypeRoot.SMALLINT: "int_value",
    TypeRoot.INTEGER: "int_value",
    TypeRoot.BIGINT: "bigint_value",
    TypeRoot.FLOAT: "float_value",
    TypeRoot.DOUBLE: "double_value",
    TypeRoot.CHAR: "string_value",
    TypeRoot.STRING: "string_value",
    TypeRoot.DATE: "bigint_value",
    TypeRoot.TIME: "int_value",
}
_TEXT_FUNCTIONS = frozenset({LeafFunction.STARTS_WITH, LeafFunction.CONTAINS, LeafFunction.END_WITH})
_NO_LITERAL = frozenset({LeafFunction.IS_NULL, LeafFunction.IS_NOT_NULL})
_ANY_LITERALS = frozenset({LeafFunction.IN, LeafFunction.NOT_IN})


class LogFilter:
    """Evaluates batches of every schema of a table.

    Args:
        predicate: what readers look for.
        schemas: schema of a schema id; raises ``SCHEMA_NOT_EXIST``.
    """

    def __init__(self, predicate: Predicate, schemas: Callable[[int], Schema]) -> None:
        self._predicate = predicate
        self._schemas = schemas
        self._versions: dict[int, tuple[StatisticsCodec, dict[int, int]]] = {}

    def may_keep(self, header: BatchHeader, statistics: Buffer) -> bool:
        """Whether a row of the batch may satisfy the filter. Batches without rows go: readers never see them.

        Args:
            header: of the batch.
            statistics: of the batch, empty if it has none.
        """
        if header.record_count == 0:
            return False
        if not len(statistics):
            return True
        try:
            codec, positions = self._versions.get(header.schema_id) or self._version(header.schema_id)
            columns = codec.decode(statistics)

            def column(field_id: int) -> ColumnStatistics | None:
                return columns.get(positions.get(field_id, -1))

            return self._predicate.may_match(header.record_count, column)
        except FlussError as error:
            logger.warning("the batch at offset %d is let through: %s", header.base_offset, error)
            return True

    def _version(self, schema_id: int) -> tuple[StatisticsCodec, dict[int, int]]:
        schema = self._schemas(schema_id)
        positions = {column.column_id: index for index, column in enumerate(schema.columns)}
        version = self._versions[schema_id] = (StatisticsCodec(schema.types), positions)
        return version


def read_predicate(message: pb.PbPredicate, schema: Schema) -> Predicate | None:
    """The predicate of a request, None if it is not understood.

    Args:
        message: as the client sent it.
        schema: the one that the predicate refers to.
    """
    types = {column.column_id: column.type for column in schema.columns}
    try:
        if _count_terms(message, 0) > MAX_TERMS:
            return None
        return _read(message, types)
    except (_NotUnderstood, FlussError, ValueError):
        return None


class _NotUnderstood(Exception):
    pass


def _count_terms(message: pb.PbPredicate, so_far: int) -> int:
    so_far += 1 + len(message.leaf.literals)
    for child in message.compound.children:
        if so_far > MAX_TERMS:
            break
        so_far = _count_terms(child, so_far)
    return so_far


def _read(message: pb.PbPredicate, types: dict[int, DataType]) -> Predicate:
    if message.type == _COMPOUND and message.HasField("compound"):
        compound = message.compound
        if compound.function not in (_AND, _OR) or not compound.children:
            raise _NotUnderstood
        return Compound(compound.function == _AND, tuple(_read(child, types) for child in compound.children))
    if message.type != _LEAF or not message.HasField("leaf"):
        raise _NotUnderstood
    leaf = message.leaf
    function = LeafFunction(leaf.function)
    data_type = types.get(leaf.field_id)
    if data_type is None or data_type.root not in _LITERAL_TYPES:
        raise _NotUnderstood
    if function in _TEXT_FUNCTIONS and data_type.root not in TEXT_ROOTS:
        raise _NotUnderstood
    if function not in _ANY_LITERALS and len(leaf.literals) != (0 if function in _NO_LITERAL else 1):
        raise _NotUnderstood
    return Leaf(leaf.field_id, function, tuple(_literal(literal, data_type) for literal in leaf.literals))


def _literal(message: pb.PbLiteralValue, data_type: DataType) -> Any:
    root = data_type.root
    if message.literal_type != _LITERAL_TYPES[root]:
        raise _NotUnderstood
    if message.is_null:
        return None
    if root in TIMESTAMP_ROOTS:
        if not message.HasField("timestamp_millis_value"):
            raise _NotUnderstood
        return message.timestamp_millis_value, message.timestamp_nano_of_millis_value
    if root is TypeRoot.DECIMAL:
        if message.HasField("decimal_bytes"):
            return decode_unscaled(message.decimal_bytes)
        field = "decimal_value"
    else:
        field = _VALUE_FIELDS[root]
    if not message.HasField(field):  # type: ignore[arg-type]
        raise _NotUnderstood
    return getattr(message, field)
