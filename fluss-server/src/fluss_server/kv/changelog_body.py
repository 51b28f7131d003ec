"""What the encodings of a changelog's rows have in common."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fluss_server.formats.buffer import Buffer
from fluss_server.formats.log_batch import ChangeType

NEW_KINDS = (ChangeType.INSERT, ChangeType.UPDATE_AFTER)
"""Kinds of the changelog rows that stay in the store."""


@dataclass(frozen=True, slots=True)
class EncodedBody:
    """The rows of a batch.

    Attributes:
        change_types: what precedes the payload: one byte per row, or nothing when the payload has them.
        payload: the rows.
        keys_of_new_rows: keys of the rows of :data:`NEW_KINDS`, computed from their columns.
    """

    change_types: Buffer
    payload: Buffer
    keys_of_new_rows: list[bytes]


@dataclass(frozen=True, slots=True)
class BatchContent:
    """Rows read back.

    Attributes:
        entries: key and new value (None = deleted) of every change, in order.
        row_count_change: rows inserted minus rows deleted.
    """

    entries: Iterable[tuple[bytes, bytes | None]]
    row_count_change: int


@dataclass(frozen=True, slots=True)
class ReplayedChanges:
    """What some log batches say about the state of the store.

    Attributes:
        rows: last value of every key that they change, None = deleted.
        row_count_change: rows inserted minus rows deleted.
        size_bytes: about what ``rows`` weigh.
    """

    rows: dict[bytes, bytes | None]
    row_count_change: int
    size_bytes: int
