"""Rows of an input file in batches, whatever its format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fluss_server.model.schema import Schema

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_PER_BATCH = 5_000

Progress = Callable[[int], None]
"""Is told how many bytes of the file have been read so far."""


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be one of the table.

    Attributes:
        number: of the row in the file, from 1.
        text: the row as it stands in the file, without the line end; of Parquet, as JSON.
        reason: what is wrong, with the number of the line.
    """

    number: int
    text: bytes
    reason: str


@dataclass
class InputBatch:
    """Some rows of a file.

    Attributes:
        rows: the good ones.
        numbers: their numbers in the file, from 1.
        texts: them as they stand in the file; empty for Parquet.
        bad: those between and after them that are not good.
        last: number of the last row in the file that was looked at.
    """

    rows: pa.RecordBatch
    numbers: Sequence[int]
    texts: Sequence[bytes]
    bad: list[BadRow]
    last: int


def unknown_columns(names: Sequence[str], schema: Schema) -> str:
    """What to say about names that are not columns; empty if there are none."""
    unknown = sorted(repr(name) for name in set(names) - set(schema.names))
    return f"no column {', '.join(unknown)}; columns are {', '.join(schema.names)}" if unknown else ""
