"""Merging: what a batch of upserts and deletes makes of the rows that are there. No I/O.

Rules: server-behaviour.md section 2.9. A merge engine decides on single values (see
:mod:`fluss_server.kv.merging.row_merger`); :func:`merge_batch` walks through a batch, which may hold a key several
times, and records every change as changelog rows and as new values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.log_batch import ChangeType
from fluss_server.kv.merging.row_merger import ChangelogImage, DeleteBehavior, MergesTogether, RowMerger

OnInsert = Callable[[bytes], bytes]

_INSERT = int(ChangeType.INSERT)
_UPDATE_AFTER = int(ChangeType.UPDATE_AFTER)
_DELETE = int(ChangeType.DELETE)
_INSERTS = bytes([ChangeType.INSERT])
_UPDATE = bytes([ChangeType.UPDATE_BEFORE, ChangeType.UPDATE_AFTER])
_MAX_TURNS = 4


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
) -> set[bytes]:
    """Keys whose present values :func:`merge_batch` needs."""
    if image is ChangelogImage.WAL and merger.ignores_old and on_insert is None:
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
    on_insert: OnInsert | None = None,
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
        on_insert: what becomes of the value of a row whose key was absent.

    Raises:
        FlussError: ``DELETION_DISABLED_EXCEPTION``; what the merger raises. ``current`` is then useless.
    """
    full = image is ChangelogImage.FULL
    upsert = None if merger.ignores_old else merger.upsert
    if on_insert is None and None not in values:
        news = cast("Sequence[bytes]", values)
        merged = news if upsert is None else _merge_together(merger, keys, news, current)
        if merged is not None:
            if full and len(current) == len(keys) and (replaced := _replace_all(keys, merged, current)) is not None:
                return replaced
            if upsert is not None:
                results = iter(merged)
                upsert = lambda old, new: next(results)  # noqa: E731
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


def _replace_all(keys: Sequence[bytes], values: Sequence[bytes], current: dict[bytes, bytes | None]) -> Changes | None:
    """Changes of upserts of different keys that replace whole rows, if all of these are inserts or all are updates."""
    olds = list(map(current.__getitem__, keys))
    images: list[bytes | None]
    if None not in olds:
        change_types = _UPDATE * len(keys)
        images = [None] * (2 * len(keys))
        images[0::2] = olds
        images[1::2] = values
    elif olds.count(None) == len(olds):
        change_types = _INSERTS * len(keys)
        images = list(values)
    else:
        return None
    current.update(zip(keys, values, strict=True))
    return Changes(bytearray(change_types), images, list(keys), list(values))  # type: ignore[arg-type]  # no None is left


def _merge_together(
    merger: RowMerger, keys: Sequence[bytes], values: Sequence[bytes], current: Mapping[bytes, bytes | None]
) -> Sequence[bytes] | None:
    """Results of upserts in their order, None if the merger cannot merge many at a time.

    Those that meet a key for the first time are merged together, then those that meet one for the second time, and so
    on, for a bounded number of times.
    """
    if not isinstance(merger, MergesTogether):
        return None
    if len(current) == len(keys):  # all keys are different
        return merger.upsert_all(list(map(current.__getitem__, keys)), values)
    newest = dict(current)
    results = [b""] * len(keys)
    rest: Sequence[int] = range(len(keys))
    for turn in range(_MAX_TURNS):
        first: dict[bytes, int] = {}
        later = [index for index in rest if first.setdefault(keys[index], index) != index]
        merged = merger.upsert_all([newest[key] for key in first], [values[index] for index in first.values()])
        if merged is None:
            if turn == 0:
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
