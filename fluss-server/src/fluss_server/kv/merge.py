"""Merging: what a batch of upserts and deletes makes of the rows that are there. No I/O.

Rules: server-behaviour.md section 2.9. A *value* is what the KvStore keeps: schema id and row (data-formats.md
section 8.3). A merge engine decides on single values (:class:`RowMerger`); :func:`merge_batch` walks through a batch,
which may hold a key several times, and records every change as changelog rows and as new values. Here is the default
engine, which keeps the last row, with partial updates; others implement the same two methods.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.log_batch import ChangeType
from fluss_server.formats.row_codec import RowCodec
from fluss_server.formats.value_batch import SCHEMA_ID_SIZE, encode_value
from fluss_server.model.schema import Schema

_INSERT = int(ChangeType.INSERT)
_UPDATE_AFTER = int(ChangeType.UPDATE_AFTER)
_DELETE = int(ChangeType.DELETE)
_UPDATE = bytes([ChangeType.UPDATE_BEFORE, ChangeType.UPDATE_AFTER])


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
        ignores_old: whether an upsert's result is the new value, whatever was there.
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


class ReplaceMerger:
    """The default engine with all columns: the last row wins."""

    ignores_old = True

    def upsert(self, old: bytes | None, new: bytes) -> bytes:
        return new

    def delete(self, old: bytes) -> bytes | None:
        return None


class PartialMerger:
    """The default engine with some target columns: an upsert leaves the others, a delete nulls the targets.

    Args:
        schema: latest schema of the table.
        schema_id: its id; results are written with it.
        targets: positions of the target columns in ``schema``.
        codec: gives the row codec of a schema id.

    Raises:
        FlussError: ``INVALID_TARGET_COLUMN`` unless the targets exist and include the primary key, and all other
            columns of the table are nullable.
    """

    ignores_old = False

    def __init__(
        self, schema: Schema, schema_id: int, targets: Collection[int], codec: Callable[[int], RowCodec]
    ) -> None:
        check_target_columns(schema, targets)
        keys = schema.primary_key_indexes
        self._schema_id = schema_id
        self._codec = codec
        self._is_target = [index in targets for index in range(len(schema.columns))]
        self._is_nulled = [target and index not in keys for index, target in enumerate(self._is_target)]
        self._key_only = not any(self._is_nulled)

    def upsert(self, old: bytes | None, new: bytes) -> bytes:
        if old is None:
            kept: list[bytes | None] = [None] * len(self._is_target)
        elif self._key_only:
            return old
        else:
            kept = self._fields(old)
        fields = zip(self._is_target, self._fields(new), kept, strict=True)
        return self._value([sent if target else held for target, sent, held in fields])

    def delete(self, old: bytes) -> bytes | None:
        fields = self._fields(old)
        if all(target or held is None for target, held in zip(self._is_target, fields, strict=True)):
            return None
        return self._value([None if nulled else held for nulled, held in zip(self._is_nulled, fields, strict=True)])

    def _fields(self, value: bytes) -> list[bytes | None]:
        """Encoded fields of the latest schema; columns that the value's schema lacks are null."""
        fields = self._codec(schema_id_of(value)).split(value[SCHEMA_ID_SIZE:])
        return fields + [None] * (len(self._is_target) - len(fields))

    def _value(self, fields: list[bytes | None]) -> bytes:
        return encode_value(self._schema_id, self._codec(self._schema_id).join(fields))


@dataclass(slots=True)
class Changes:
    """What a batch changed.

    Attributes:
        change_types: one :class:`ChangeType` byte per changelog row.
        images: value of each changelog row.
        keys: key of each change, in order. Every changelog row but -U belongs to one change.
        values: value after each change, None = deleted.
    """

    change_types: bytearray = field(default_factory=bytearray)
    images: list[bytes] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    values: list[bytes | None] = field(default_factory=list)


def keys_to_read(
    merger: RowMerger, keys: Sequence[bytes], values: Sequence[bytes | None], image: ChangelogImage
) -> set[bytes]:
    """Keys whose present values :func:`merge_batch` needs."""
    if image is ChangelogImage.WAL and merger.ignores_old:
        return {key for key, value in zip(keys, values, strict=True) if value is None}
    return set(keys)


def merge_batch(
    merger: RowMerger,
    keys: Sequence[bytes],
    values: Sequence[bytes | None],
    current: dict[bytes, bytes | None],
    *,
    deletes: DeleteBehavior,
    image: ChangelogImage,
) -> Changes:
    """Apply a batch.

    An update to an equal row is a change like any other; only a merger that returns the old value itself suppresses
    it. Deletes of absent keys change nothing. In the WAL image with a merger that ignores old rows, inserts appear as
    +U.

    Args:
        merger: of the table's engine and the batch's target columns.
        keys: of the records, in order.
        values: of the records; None = delete.
        current: values of :func:`keys_to_read` before the batch, None = absent; updated to those after it.
        deletes: of the table.
        image: of the table.

    Raises:
        FlussError: ``DELETION_DISABLED_EXCEPTION``; what the merger raises. ``current`` is then useless.
    """
    changes = Changes()
    types = changes.change_types
    add_type = types.append
    add_image = changes.images.append
    add_key = changes.keys.append
    add_value = changes.values.append
    full = image is ChangelogImage.FULL
    blind = not full and merger.ignores_old
    upsert = None if merger.ignores_old else merger.upsert
    for key, sent in zip(keys, values, strict=True):
        new = sent
        if new is None:
            if deletes is DeleteBehavior.IGNORE:
                continue
            if deletes is DeleteBehavior.DISABLE:
                raise FlussError(
                    ErrorCode.DELETION_DISABLED_EXCEPTION,
                    "the batch deletes rows, and the table forbids it",
                    hint="table.delete.behavior is DISABLE; create the table with ALLOW or IGNORE",
                )
            old = current[key]
            if old is None:
                continue
            new = merger.delete(old)
            if new is None:
                add_type(_DELETE)
                add_image(old)
            elif full:
                types += _UPDATE
                add_image(old)
                add_image(new)
            else:
                add_type(_UPDATE_AFTER)
                add_image(new)
        elif blind:
            add_type(_UPDATE_AFTER)
            add_image(new)
        else:
            old = current[key]
            if upsert is not None:
                new = upsert(old, new)
                if new is old:
                    continue
            if old is None:
                add_type(_INSERT)
            elif full:
                types += _UPDATE
                add_image(old)
            else:
                add_type(_UPDATE_AFTER)
            add_image(new)
        current[key] = new
        add_key(key)
        add_value(new)
    return changes


def check_target_columns(schema: Schema, targets: Collection[int]) -> None:
    """``INVALID_TARGET_COLUMN`` unless a partial update of these columns is possible."""
    names = schema.names
    if any(not 0 <= target < len(names) for target in targets):
        raise _invalid_targets(f"target columns {sorted(targets)} of a table of {len(names)} columns")
    missing = [names[index] for index in schema.primary_key_indexes if index not in targets]
    if missing:
        raise _invalid_targets(f"the target columns lack {', '.join(missing)} of the primary key")
    for index, column in enumerate(schema.columns):
        if not column.type.nullable and index not in schema.primary_key_indexes:
            raise _invalid_targets(f"a partial update needs nullable columns, but {column.name} is NOT NULL")


def schema_id_of(value: bytes) -> int:
    """Schema id of a value."""
    return int.from_bytes(value[:SCHEMA_ID_SIZE], "little", signed=True)


def _invalid_targets(message: str) -> FlussError:
    return FlussError(ErrorCode.INVALID_TARGET_COLUMN, message)
