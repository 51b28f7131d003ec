"""What a merge engine is, and what all of them share.

Rules: docs/primary-key-tables.md. A *value* is what the KvStore keeps: schema id and row (docs/formats/kv-values.md).
An engine decides on single values; :mod:`fluss_server.kv.batch_merge` walks through batches.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from enum import Enum
from typing import Protocol, runtime_checkable

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.row_codec import RowCodec
from fluss_server.formats.value_batch import SCHEMA_ID_SIZE
from fluss_server.model.schema import Schema

CodecOf = Callable[[int], RowCodec]
"""Gives the row codec of a schema id."""


class DeleteBehavior(str, Enum):
    """What a delete does (``table.delete.behavior``)."""

    ALLOW = "ALLOW"
    IGNORE = "IGNORE"
    DISABLE = "DISABLE"


class ChangelogImage(str, Enum):
    """How updates appear in the changelog (``table.changelog.image``): -U and +U, or +U alone."""

    FULL = "FULL"
    WAL = "WAL"


class RowMerger(Protocol):
    """A merge engine, configured for the target columns of a batch.

    Attributes:
        ignores_old: whether an upsert's result is the new value and a delete leaves nothing, whatever was there.
    """

    ignores_old: bool

    def upsert(self, old: bytes | None, new: bytes) -> bytes:
        """Value after an upsert; the very object ``old`` if nothing changes.

        Args:
            old: value that is there, or None.
            new: value in the batch; with partial updates only the target columns count.

        Raises:
            FlussError: ``CORRUPT_RECORD_EXCEPTION`` if a row is not one of the schema its value names.
        """

    def delete(self, old: bytes) -> bytes | None:
        """Value after a delete, None if no row is left. Errors as :meth:`upsert`."""


@runtime_checkable
class BoundsBatches(Protocol):
    """A merger that bounds the work of a batch."""

    def begin_batch(self) -> None:
        """A batch begins; until the next call, merging may raise ``RECORD_TOO_LARGE_EXCEPTION``."""


@runtime_checkable
class MergesTogether(RowMerger, Protocol):
    """A merger that takes many upserts of different keys in less time than one by one."""

    def upsert_all(self, olds: Sequence[bytes | None], news: Sequence[bytes]) -> list[bytes] | None:
        """Results of :meth:`upsert`, or None if these values must be merged one by one.

        Args:
            olds: values that are there.
            news: as many values in the batch.

        Raises:
            FlussError: as :meth:`upsert`.
        """


def schema_id_of(value: bytes) -> int:
    """Schema id of a value."""
    return int.from_bytes(value[:SCHEMA_ID_SIZE], "little", signed=True)


def fields_of(value: bytes, codec: CodecOf, count: int) -> list[bytes | None]:
    """The ``count`` encoded fields of the latest schema; columns that the value's schema lacks are null.

    Columns are only ever added at the end, so the same position is the same column in every schema of a table.
    """
    fields = codec(schema_id_of(value)).split(value[SCHEMA_ID_SIZE:])
    if len(fields) < count:
        fields += [None] * (count - len(fields))
    return fields


def check_target_columns(schema: Schema, targets: Collection[int]) -> None:
    """``INVALID_TARGET_COLUMN`` unless a partial update of these columns is possible."""
    names = schema.names
    if any(not 0 <= target < len(names) for target in targets):
        raise invalid_targets(f"target columns {sorted(targets)} of a table of {len(names)} columns")
    missing = [names[index] for index in schema.primary_key_indexes if index not in targets]
    if missing:
        raise invalid_targets(f"the target columns lack {', '.join(missing)} of the primary key")
    for index, column in enumerate(schema.columns):
        if not column.type.nullable and index not in schema.primary_key_indexes:
            raise invalid_targets(f"a partial update needs nullable columns, but {column.name} is NOT NULL")


def invalid_targets(message: str, hint: str | None = None) -> FlussError:
    """``INVALID_TARGET_COLUMN``."""
    return FlussError(ErrorCode.INVALID_TARGET_COLUMN, message, hint=hint)
