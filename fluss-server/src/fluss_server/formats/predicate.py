"""Predicates over rows, evaluated against the statistics of a whole batch.

A batch may be left out only when no row of it can satisfy the predicate; whatever is not known counts as satisfied.
A comparison with null is never true, as in SQL.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from fluss_server.formats.statistics import ColumnStatistics


class LeafFunction(IntEnum):
    """Functions of one column, with their numbers in the protocol (docs/protocol/produce-fetch.md)."""

    EQUAL = 0
    NOT_EQUAL = 1
    LESS_THAN = 2
    LESS_OR_EQUAL = 3
    GREATER_THAN = 4
    GREATER_OR_EQUAL = 5
    IS_NULL = 6
    IS_NOT_NULL = 7
    STARTS_WITH = 8
    CONTAINS = 9
    END_WITH = 10
    IN = 11
    NOT_IN = 12


@dataclass(frozen=True, slots=True)
class Leaf:
    """A function of one column.

    Attributes:
        field_id: id of the column, the same in all schemas of a table.
        function: the comparison.
        literals: none for null checks, any number for IN and NOT_IN, else one; values as row codecs give them.
    """

    field_id: int
    function: LeafFunction
    literals: tuple[Any, ...]

    def may_match(self, row_count: int, statistics: Callable[[int], ColumnStatistics | None]) -> bool:
        """See :data:`Predicate`."""
        column = statistics(self.field_id)
        return column is None or _may_match(self.function, self.literals, row_count, column)


@dataclass(frozen=True, slots=True)
class Compound:
    """Several predicates, all of which (``conjunction``) or any of which must be satisfied."""

    conjunction: bool
    children: tuple[Predicate, ...]

    def may_match(self, row_count: int, statistics: Callable[[int], ColumnStatistics | None]) -> bool:
        """See :data:`Predicate`."""
        outcomes = (child.may_match(row_count, statistics) for child in self.children)
        return all(outcomes) if self.conjunction else any(outcomes)


Predicate = Leaf | Compound
"""``may_match(row_count, statistics)`` is False only if no row of the batch satisfies the predicate.

``statistics`` gives what is known of a column by its id, None for nothing.
"""


def _may_match(function: LeafFunction, literals: Sequence[Any], row_count: int, column: ColumnStatistics) -> bool:
    null_count, minimum, maximum = column
    if function is LeafFunction.IS_NULL:
        return null_count != 0
    if null_count == row_count:
        return False
    if function is LeafFunction.IS_NOT_NULL or minimum is None or maximum is None:
        return True
    values = [literal for literal in literals if literal is not None]
    if function is LeafFunction.IN:
        return any(_is_nan(minimum, maximum, value) or minimum <= value <= maximum for value in values)
    if len(values) < len(literals):
        return False  # a comparison with null
    if _is_nan(minimum, maximum, *values):
        return True
    if function is LeafFunction.NOT_IN:
        return minimum != maximum or minimum not in values
    (value,) = values
    return bool(_COMPARISONS[function](value, minimum, maximum))


def _is_nan(*values: Any) -> bool:
    return any(isinstance(value, float) and math.isnan(value) for value in values)


def _may_start_with(prefix: str, minimum: str, maximum: str) -> bool:
    return minimum[: len(prefix)] <= prefix <= maximum


_COMPARISONS: dict[LeafFunction, Callable[[Any, Any, Any], bool]] = {
    LeafFunction.EQUAL: lambda value, low, high: low <= value <= high,
    LeafFunction.NOT_EQUAL: lambda value, low, high: not low == value == high,
    LeafFunction.LESS_THAN: lambda value, low, high: low < value,
    LeafFunction.LESS_OR_EQUAL: lambda value, low, high: low <= value,
    LeafFunction.GREATER_THAN: lambda value, low, high: high > value,
    LeafFunction.GREATER_OR_EQUAL: lambda value, low, high: high >= value,
    LeafFunction.STARTS_WITH: _may_start_with,
    LeafFunction.CONTAINS: lambda value, low, high: True,
    LeafFunction.END_WITH: lambda value, low, high: True,
}
