"""Merging: what a batch of upserts and deletes makes of the rows that are there. No I/O.

Rules: docs/primary-key-tables.md. A merge engine decides on single values (see
:mod:`fluss_server.kv.merge_engines.row_merger`); :func:`merge_batch` walks through a batch, which may hold a key
several times, and records every change as changelog rows and as new values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.log_batch import ChangeType
from fluss_server.kv.merge_engines.row_merger import (
    BoundsBatches,
    ChangelogImage,
    DeleteBehavior,
    MergesTogether,
    RowMerger,
)

OnInsert = Callable[[bytes], bytes]

_INSERT = int(ChangeType.INSERT)
_UPDATE_AFTER = int(ChangeType.UPDATE_AFTER)
_DELETE = int(ChangeType.DELETE)
_INSERTS = bytes([ChangeType.INSERT])
_DELETES = bytes([ChangeType.DELETE])
_UPDATE = bytes([ChangeType.UPDATE_BEFORE, ChangeType.UPDATE_AFTER])
_MAX_ROUNDS = 4


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
    merger: RowMerger,
    keys: Sequence[bytes],
    values: Sequence[bytes | None],
    image: ChangelogImage,
    on_insert: OnInsert | None = None,
) -> list[bytes]:
    """Keys whose present values :func:`merge_batch` needs, each once, in the order of the records."""
    if image is ChangelogImage.WAL and merger.ignores_old and on_insert is None:
        keys = [key for key, value in zip(keys, values, strict=True) if value is None]
    return list(dict.fromkeys(keys))


def merge_batch(
    merger: RowMerger,
    keys: Sequence[bytes],
    values: Sequence[bytes | None],
    read: Sequence[bytes],
    olds: Sequence[bytes | None],
    *,
    deletes: DeleteBehavior,
    image: ChangelogImage,
    on_insert: OnInsert | None = None,
) -> Changes:
    """Apply a batch.

    An update to an equal row is a change like any other; only a merger that returns the old value itself suppresses
    it. Deletes of absent keys change nothing. In the WAL image with a merger that ignores old rows, inserts appear as
    +U.

    Args:
        merger: of the table's engine and the batch's target columns.
        keys: of the records, in order.
        values: of the records, never empty; None = delete.
        read: what :func:`keys_to_read` names.
        olds: values of ``read`` before the batch, None = absent.
        deletes: of the table.
        image: of the table.
        on_insert: what becomes of the value of a row whose key was absent.

    Raises:
        FlussError: ``DELETION_DISABLED_EXCEPTION``; what the merger raises.
    """
    full = image is ChangelogImage.FULL
    if isinstance(merger, BoundsBatches):
        merger.begin_batch()
    upsert = None if merger.ignores_old else merger.upsert
    all_different = len(read) == len(keys)
    if on_insert is None and all(values):
        news = cast("Sequence[bytes]", values)
        merged = news if upsert is None else _merge_together(merger, keys, news, read, olds)
        if merged is not None:
            if full and all_different and (replaced := _replace_all(keys, merged, olds)) is not None:
                return replaced
            if upsert is not None:
                results = iter(merged)
                upsert = lambda old, new: next(results)  # noqa: E731
    elif deletes is DeleteBehavior.ALLOW and merger.ignores_old and all_different and not any(values):
        return _delete_all(keys, olds)
    current = dict(zip(read, olds, strict=True))
    changes = Changes()
    types = changes.change_types
    add_type = types.append
    add_image = changes.images.append
    add_key = changes.keys.append
    add_value = changes.values.append
    blind = not full and merger.ignores_old and on_insert is None
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
                if on_insert is not None:
                    new = on_insert(new)
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


def _replace_all(keys: Sequence[bytes], values: Sequence[bytes], olds: Sequence[bytes | None]) -> Changes | None:
    """Changes of upserts of different keys that replace whole rows, if all of these are inserts or all are updates."""
    images: list[bytes | None]
    if all(olds):
        change_types = _UPDATE * len(keys)
        images = [None] * (2 * len(keys))
        images[0::2] = olds
        images[1::2] = values
    elif not any(olds):
        change_types = _INSERTS * len(keys)
        images = list(values)
    else:
        return None
    return Changes(bytearray(change_types), images, list(keys), list(values))  # type: ignore[arg-type]  # no None is left


def _delete_all(keys: Sequence[bytes], olds: Sequence[bytes | None]) -> Changes:
    """Changes of deletes of different keys that leave nothing of the rows."""
    if not all(olds):
        keys = [key for key, old in zip(keys, olds, strict=True) if old is not None]
    images = list(filter(None, olds))
    return Changes(bytearray(_DELETES * len(images)), images, list(keys), [None] * len(images))


def _merge_together(
    merger: RowMerger,
    keys: Sequence[bytes],
    values: Sequence[bytes],
    read: Sequence[bytes],
    olds: Sequence[bytes | None],
) -> Sequence[bytes] | None:
    """Results of upserts in their order, None if the merger cannot merge many at a time.

    Those that meet a key for the first time are merged together, then those that meet one for the second time, and so
    on, for a bounded number of times.
    """
    if not isinstance(merger, MergesTogether):
        return None
    if len(read) == len(keys):  # all keys are different
        return merger.upsert_all(olds, values)
    newest = dict(zip(read, olds, strict=True))
    results = [b""] * len(keys)
    rest: Sequence[int] = range(len(keys))
    for iteration in range(_MAX_ROUNDS):
        first: dict[bytes, int] = {}
        later = [index for index in rest if first.setdefault(keys[index], index) != index]
        merged = merger.upsert_all([newest[key] for key in first], [values[index] for index in first.values()])
        if merged is None:
            if iteration == 0:
                return None
            break
        for index, value in zip(first.values(), merged, strict=True):
            results[index] = value
        newest.update(zip(first, merged, strict=True))
        rest = later
        if not rest:
            return results
    for index in rest:
        key = keys[index]
        newest[key] = results[index] = merger.upsert(newest[key], values[index])
    return results
