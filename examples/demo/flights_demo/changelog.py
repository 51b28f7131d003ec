"""Replays a changelog of +I, -U, +U and -D rows into the table that it describes, and checks that it is a valid one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

_ERRORS_KEPT = 20


class Replay:
    """The table after the changes so far.

    A valid changelog inserts only absent keys, and its before images (-U, -D) equal the current row. The first few
    violations are kept in `errors`; the change is applied all the same.
    """

    def __init__(self, key_fields: Sequence[int]) -> None:
        self._key_fields = tuple(key_fields)
        self._without_after: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self.rows: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self.changes: Counter[str] = Counter()
        self.errors: list[str] = []

    def apply(self, kind: str, row: Sequence[Any]) -> None:
        """Applies one change; `kind` is "+I", "-U", "+U" or "-D"."""
        values = tuple(row)
        key = tuple(values[field] for field in self._key_fields)
        self.changes[kind] += 1
        if kind == "+I":
            if key in self.rows or key in self._without_after:
                self._error(f"+I of {key}, which exists already")
            self.rows[key] = values
        elif kind in ("-U", "-D"):
            current = self.rows.pop(key, None)
            if current != values:
                self._error(f"{kind} of {key} with the before image {values}, the row is {current}")
            if kind == "-U":
                self._without_after[key] = values
        elif kind == "+U":
            if self._without_after.pop(key, None) is None:
                self._error(f"+U of {key} without its -U")
            self.rows[key] = values
        else:
            self._error(f"unknown kind of change {kind!r}")

    def finish(self) -> list[str]:
        """Returns the violations, updates without their +U included."""
        return [*self.errors, *(f"-U of {key} without its +U" for key in self._without_after)]

    def _error(self, message: str) -> None:
        if len(self.errors) < _ERRORS_KEPT:
            self.errors.append(message)
