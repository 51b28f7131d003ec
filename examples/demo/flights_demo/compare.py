"""Exact comparison of two tables: the same keys, each once, and every cell equal; missing equals only missing."""

from __future__ import annotations

from typing import Any

import pandas as pd


def _as_type_of(actual: pd.Series, expected: pd.Series) -> pd.Series:
    """Brings a column that came through Arrow to the expected type; raises when that would change a value."""
    if pd.api.types.is_datetime64_any_dtype(expected.dtype):
        return pd.to_datetime(actual).astype(expected.dtype)
    if expected.dtype == object:
        return actual.astype(object).where(actual.notna(), None)
    return actual.astype(expected.dtype)


def _different(actual: pd.Series, expected: pd.Series) -> pd.Series:
    missing = actual.isna() | expected.isna()
    unequal = (actual != expected).fillna(True).astype(bool)
    return (missing & (actual.isna() != expected.isna())) | (~missing & unequal)


def _plain(value: Any) -> str:
    """Shows a value, or the values of a key, without the names of numpy's types."""
    if isinstance(value, tuple):
        return f"({', '.join(map(_plain, value))})"
    return repr(value.item() if hasattr(value, "item") else value)


def _some(keys: pd.DataFrame, limit: int) -> str:
    shown = ", ".join(_plain(tuple(row)) for row in keys.head(limit).itertuples(index=False))
    return shown + (", ..." if len(keys) > limit else "")


def differences(actual: pd.DataFrame, expected: pd.DataFrame, key: list[str], *, limit: int = 3) -> list[str]:
    """Returns what differs, a sentence each, with up to `limit` examples; an empty list means equal.

    The order of rows and columns does not matter. The keys of `expected` must be unique.
    """
    if sorted(actual.columns) != sorted(expected.columns):
        return [f"columns {sorted(actual.columns)} instead of {sorted(expected.columns)}"]
    found: list[str] = []
    columns: dict[str, Any] = {}
    for column in expected.columns:
        try:
            columns[column] = _as_type_of(actual[column], expected[column])
        except (TypeError, ValueError) as error:
            return [f"column {column} does not hold values of type {expected[column].dtype}: {error}"]
    actual = pd.DataFrame(columns)
    repeated = actual.duplicated(key)
    if repeated.any():
        found.append(f"{repeated.sum():,} rows repeat a key: {_some(actual.loc[repeated, key], limit)}")
        actual = actual[~repeated]
    sides = expected[key].merge(actual[key], how="outer", on=key, indicator=True)
    for side, meaning in (("left_only", "missing"), ("right_only", "too many")):
        keys = sides.loc[sides["_merge"] == side, key]
        if len(keys):
            found.append(f"{len(keys):,} rows are {meaning}: {_some(keys, limit)}")
    both = sides.loc[sides["_merge"] == "both", key]
    left = both.merge(actual, how="left", on=key)
    right = both.merge(expected, how="left", on=key)
    for column in expected.columns:
        unequal = _different(left[column], right[column])
        if unequal.any():
            first = int(unequal.to_numpy().argmax())
            row = next(both.iloc[first : first + 1].itertuples(index=False))
            values = f"{_plain(left[column].iloc[first])} instead of {_plain(right[column].iloc[first])}"
            found.append(f"{unequal.sum():,} rows differ in {column}, for example {_plain(tuple(row))}: {values}")
    return found
