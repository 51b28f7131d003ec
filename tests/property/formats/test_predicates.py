"""A batch that a predicate lets go has no row that satisfies it; and it does let go what it can."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from example_support import examples
from fluss_server.formats.predicate import Compound, Leaf, LeafFunction, Predicate
from fluss_server.formats.statistics import ColumnStatistics

F = LeafFunction
NUMBERS = st.integers(-4, 4)
FLOATS = st.sampled_from([-math.inf, -1.5, -0.0, 0.0, 1.5, math.inf, math.nan])
TEXTS = st.text(alphabet="ab\u00e9\U0001f680", max_size=4)
COMPARISONS = [F.EQUAL, F.NOT_EQUAL, F.LESS_THAN, F.LESS_OR_EQUAL, F.GREATER_THAN, F.GREATER_OR_EQUAL]


def satisfies(function: LeafFunction, literals: Sequence[Any], value: Any) -> bool:
    """What SQL says of one row."""
    if function is F.IS_NULL:
        return value is None
    if function is F.IS_NOT_NULL:
        return value is not None
    if value is None:
        return False
    if function is F.IN:
        return any(literal is not None and literal == value for literal in literals)
    if None in literals:
        return False
    if function is F.NOT_IN:
        return all(literal != value for literal in literals)
    (literal,) = literals
    return bool(_SQL[function](value, literal))


_SQL: dict[LeafFunction, Callable[[Any, Any], Any]] = {
    F.EQUAL: operator.eq,
    F.NOT_EQUAL: operator.ne,
    F.LESS_THAN: operator.lt,
    F.LESS_OR_EQUAL: operator.le,
    F.GREATER_THAN: operator.gt,
    F.GREATER_OR_EQUAL: operator.ge,
    F.STARTS_WITH: str.startswith,
    F.CONTAINS: operator.contains,
    F.END_WITH: str.endswith,
}


def statistics(values: Sequence[Any]) -> ColumnStatistics:
    """As the official writers make them: floats in total order, so that NaN is the largest."""
    present = [value for value in values if value is not None]

    def order(value: Any) -> Any:
        return (math.isnan(value), value, math.copysign(1, value)) if isinstance(value, float) else value

    low, high = (min(present, key=order), max(present, key=order)) if present else (None, None)
    return ColumnStatistics(len(values) - len(present), low, high)


@st.composite
def columns_and_leaves(draw: st.DrawFn) -> tuple[list[Any], Leaf]:
    kind = draw(st.sampled_from([NUMBERS, FLOATS, TEXTS]))
    values = draw(st.lists(st.none() | kind, min_size=1, max_size=5))
    function = draw(
        st.sampled_from(list(F) if kind is TEXTS else [*COMPARISONS, F.IS_NULL, F.IS_NOT_NULL, F.IN, F.NOT_IN])
    )
    literals = st.none() | kind
    if function in (F.IS_NULL, F.IS_NOT_NULL):
        return values, Leaf(0, function, ())
    size = (0, 3) if function in (F.IN, F.NOT_IN) else (1, 1)
    return values, Leaf(0, function, tuple(draw(st.lists(literals, min_size=size[0], max_size=size[1]))))


@settings(max_examples=examples(60))
@given(columns_and_leaves())
def test_no_matching_row_is_lost(case: tuple[list[Any], Leaf]) -> None:
    values, leaf = case
    may_match = leaf.may_match(len(values), lambda field: statistics(values))
    if any(satisfies(leaf.function, leaf.literals, value) for value in values):
        assert may_match
    assert leaf.may_match(len(values), lambda field: None)
    assert leaf.may_match(len(values), lambda field: ColumnStatistics(0, None, None)) or leaf.function is F.IS_NULL


@settings(max_examples=examples(40))
@given(st.lists(st.none() | NUMBERS, min_size=1, max_size=5), st.sampled_from(COMPARISONS), NUMBERS)
def test_batches_go_when_no_value_between_the_bounds_would_do(
    values: list[int | None], function: LeafFunction, literal: int
) -> None:
    column = statistics(values)
    may_match = Leaf(0, function, (literal,)).may_match(len(values), lambda field: column)
    between = [] if column.minimum is None else range(column.minimum, column.maximum + 1)
    assert may_match == any(satisfies(function, [literal], value) for value in between)


def rows_of(predicate: Predicate, rows: list[tuple[int, int]]) -> list[tuple[int, int]]:
    if isinstance(predicate, Leaf):
        return [row for row in rows if satisfies(predicate.function, predicate.literals, row[predicate.field_id])]
    found = [set(rows_of(child, rows)) for child in predicate.children]
    kept = set.intersection(*found) if predicate.conjunction else set.union(*found)
    return [row for row in rows if row in kept]


LEAVES = st.builds(Leaf, st.integers(0, 1), st.sampled_from(COMPARISONS), st.tuples(NUMBERS))
PREDICATES: st.SearchStrategy[Predicate] = st.recursive(
    LEAVES,
    lambda inner: st.builds(Compound, st.booleans(), st.lists(inner, min_size=1, max_size=3).map(tuple)),
    max_leaves=6,
)


@settings(max_examples=examples(50))
@given(PREDICATES, st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=4))
def test_no_matching_row_of_a_compound_is_lost(predicate: Predicate, rows: list[tuple[int, int]]) -> None:
    columns = [statistics([row[index] for row in rows]) for index in range(2)]
    if rows_of(predicate, rows):
        assert predicate.may_match(len(rows), columns.__getitem__)


@pytest.mark.parametrize(
    ("prefix", "low", "high", "expected"),
    [
        ("b", "a", "c", True),
        ("b", "bz", "bz", True),
        ("b", "c", "d", False),
        ("bb", "b", "ba", False),
        ("", "", "", True),
    ],
)
def test_prefixes(prefix: str, low: str, high: str, expected: bool) -> None:
    assert Leaf(0, F.STARTS_WITH, (prefix,)).may_match(2, lambda _: ColumnStatistics(0, low, high)) is expected


NAN = float("nan")


@pytest.mark.parametrize(
    "function", [F.EQUAL, F.NOT_EQUAL, F.LESS_THAN, F.LESS_OR_EQUAL, F.GREATER_THAN, F.IN, F.NOT_IN]
)
@pytest.mark.parametrize(
    ("low", "high", "literal"), [(NAN, NAN, 1.0), (1.0, NAN, 5.0), (NAN, 1.0, 5.0), (1.0, 2.0, NAN)]
)
def test_bounds_and_literals_that_are_nan_exclude_nothing(
    function: LeafFunction, low: float, high: float, literal: float
) -> None:
    """NaN compares false with everything, so a comparison with it says nothing about the rows."""
    column = ColumnStatistics(0, low, high)
    assert Leaf(0, function, (literal,)).may_match(3, lambda field: column)
