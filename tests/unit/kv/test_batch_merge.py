"""Merging rules, on values alone."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from example_support import examples
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.row_codec import RowCodec, row_codec
from fluss_server.kv.batch_merge import Changes, keys_to_read, merge_batch
from fluss_server.kv.merge_engines import default
from fluss_server.kv.merge_engines.default import PartialMerger, ReplaceMerger
from fluss_server.kv.merge_engines.row_merger import ChangelogImage, DeleteBehavior, RowMerger, schema_id_of
from fluss_server.model.table import KvFormat
from kv_support import DOUBLE, INT, SCHEMA, STRING, make_schema

OLD_SCHEMA = make_schema({"id": INT, "name": STRING}, ["id"])
CODECS = {1: row_codec(OLD_SCHEMA.types, KvFormat.COMPACTED), 2: row_codec(SCHEMA.types, KvFormat.COMPACTED)}


def codec(schema_id: int) -> RowCodec:
    return CODECS[schema_id]


def value(*row: object, schema_id: int = 2) -> bytes:
    return schema_id.to_bytes(2, "little") + CODECS[schema_id].encode(row)


def merge(
    merger: RowMerger,
    records: list[tuple[bytes, bytes | None]],
    current: dict[bytes, bytes | None],
    deletes: DeleteBehavior = DeleteBehavior.ALLOW,
    image: ChangelogImage = ChangelogImage.FULL,
) -> Changes:
    keys = [key for key, _ in records]
    values = [sent for _, sent in records]
    wanted = keys_to_read(merger, keys, values, image)
    olds = [current.get(key) for key in wanted]
    return merge_batch(merger, keys, values, wanted, olds, deletes=deletes, image=image)


A, B, C = value(1, "a", None), value(1, "b", 2.0), value(1, "c", 3.0)


def test_insert_update_and_delete_make_full_changelog() -> None:
    changes = merge(ReplaceMerger(), [(b"x", A), (b"y", B), (b"z", None)], {b"y": A, b"z": C})
    assert changes.change_types == bytes([1, 2, 3, 4])
    assert changes.images == [A, A, B, C]
    assert changes.keys == [b"x", b"y", b"z"]
    assert changes.values == [A, B, None]


def test_a_key_several_times_in_one_batch() -> None:
    changes = merge(ReplaceMerger(), [(b"x", A), (b"x", B), (b"x", None), (b"x", None), (b"x", C)], {})
    assert changes.change_types == bytes([1, 2, 3, 4, 1])
    assert changes.images == [A, A, B, B, C]
    assert changes.values == [A, B, None, C]


def test_an_equal_row_is_an_update_and_an_absent_key_no_delete() -> None:
    changes = merge(ReplaceMerger(), [(b"x", bytes(A)), (b"y", None)], {b"x": A})
    assert changes.change_types == bytes([2, 3])
    assert changes.keys == [b"x"]


def test_a_batch_of_deletes_alone() -> None:
    changes = merge(ReplaceMerger(), [(b"x", None), (b"y", None), (b"z", None)], {b"x": A, b"z": C})
    assert changes == Changes(bytearray([4, 4]), [A, C], [b"x", b"z"], [None, None])
    assert merge(ReplaceMerger(), [(b"x", None), (b"x", None)], {b"x": A}).keys == [b"x"]


def test_ignored_deletes_do_nothing_and_forbidden_ones_fail() -> None:
    assert merge(ReplaceMerger(), [(b"x", None)], {b"x": A}, DeleteBehavior.IGNORE) == Changes()
    with pytest.raises(FlussError) as caught:
        merge(ReplaceMerger(), [(b"x", B), (b"x", None)], {b"x": A}, DeleteBehavior.DISABLE)
    assert caught.value.code is ErrorCode.DELETION_DISABLED_EXCEPTION
    assert not caught.value.retriable


def test_wal_image_reads_old_rows_for_deletes_only() -> None:
    records = [(b"x", A), (b"y", B), (b"z", None)]
    assert keys_to_read(ReplaceMerger(), [b"x", b"y", b"z"], [A, B, None], ChangelogImage.WAL) == [b"z"]
    changes = merge(ReplaceMerger(), records, {b"z": C}, image=ChangelogImage.WAL)
    assert changes.change_types == bytes([3, 3, 4])
    assert changes.images == [A, B, C]


def test_wal_image_knows_rows_of_the_same_batch() -> None:
    changes = merge(ReplaceMerger(), [(b"x", A), (b"x", None), (b"x", None)], {}, image=ChangelogImage.WAL)
    assert changes.change_types == bytes([3, 4])
    assert changes.images == [A, A]


def test_partial_wal_image_tells_inserts() -> None:
    merger = PartialMerger(SCHEMA, 2, [0, 1], codec, KvFormat.COMPACTED)
    changes = merge(merger, [(b"x", A), (b"x", B)], {}, image=ChangelogImage.WAL)
    assert changes.change_types == bytes([1, 3])
    assert changes.images == [A, value(1, "b", None)]


def test_partial_update_keeps_the_other_columns() -> None:
    merger = PartialMerger(SCHEMA, 2, [0, 1], codec, KvFormat.COMPACTED)
    assert merger.upsert(B, value(1, "new", 99.0)) == value(1, "new", 2.0)
    assert merger.upsert(B, value(1, None, None)) == value(1, None, 2.0)
    assert merger.upsert(None, value(1, "new", 99.0)) == value(1, "new", None)


def test_partial_update_of_the_key_alone_changes_nothing() -> None:
    merger = PartialMerger(SCHEMA, 2, [0], codec, KvFormat.COMPACTED)
    assert merger.upsert(B, value(1, "x", 1.0)) is B
    changes = merge(merger, [(b"x", A), (b"y", A)], {b"x": B})
    assert changes.change_types == bytes([1])
    assert changes.values == [value(1, None, None)]


def test_partial_delete_nulls_targets_or_removes_the_row() -> None:
    merger = PartialMerger(SCHEMA, 2, [0, 1], codec, KvFormat.COMPACTED)
    assert merger.delete(value(1, "a", 2.0)) == value(1, None, 2.0)
    assert merger.delete(value(1, "a", None)) is None
    changes = merge(merger, [(b"x", None), (b"y", None)], {b"x": B, b"y": A})
    assert changes.change_types == bytes([2, 3, 4])
    assert changes.images == [B, value(1, None, 2.0), A]
    assert changes.values == [value(1, None, 2.0), None]
    assert merge(merger, [(b"x", None)], {b"x": B}, image=ChangelogImage.WAL).change_types == bytes([3])


def test_partial_update_of_rows_in_an_older_schema() -> None:
    merger = PartialMerger(SCHEMA, 2, [0, 2], codec, KvFormat.COMPACTED)
    old = value(1, "a", schema_id=1)
    assert merger.upsert(old, value(1, None, 5.0)) == value(1, "a", 5.0)
    assert merger.delete(old) == value(1, "a", None)
    assert merger.upsert(None, value(1, "x", schema_id=1)) == value(1, None, None)
    assert schema_id_of(old) == 1


@pytest.mark.parametrize("targets", [[1], [0, 3], [-1, 0], [1, 2]])
def test_bad_target_columns(targets: list[int]) -> None:
    with pytest.raises(FlussError) as caught:
        PartialMerger(SCHEMA, 2, targets, codec, KvFormat.COMPACTED)
    assert caught.value.code is ErrorCode.INVALID_TARGET_COLUMN


def test_partial_updates_need_nullable_columns() -> None:
    schema = make_schema({"id": INT, "name": STRING, "score": DOUBLE.with_nullable(False)}, ["id"])
    for targets in ([0, 1], [0, 2]):
        with pytest.raises(FlussError) as caught:
            PartialMerger(schema, 1, targets, codec, KvFormat.COMPACTED)
        assert caught.value.code is ErrorCode.INVALID_TARGET_COLUMN
        assert "score" in caught.value.message


def test_partial_merger_reports_a_damaged_row() -> None:
    merger = PartialMerger(SCHEMA, 2, [0, 1], codec, KvFormat.COMPACTED)
    with pytest.raises(FlussError) as caught:
        merger.upsert(B, A[:-1])
    assert caught.value.code is ErrorCode.CORRUPT_RECORD_EXCEPTION


ROWS = st.tuples(st.sampled_from([b"x", b"y", b"z"]), st.sampled_from([A, B, C]))


@given(st.lists(ROWS, max_size=12), st.dictionaries(st.sampled_from([b"x", b"y"]), st.sampled_from([A, B])))
@settings(max_examples=examples(40))
@pytest.mark.parametrize("image", ChangelogImage)
def test_many_upserts_together_are_what_they_are_one_by_one(
    image: ChangelogImage, records: list[tuple[bytes, bytes]], current: dict[bytes, bytes | None]
) -> None:
    together = PartialMerger(SCHEMA, 2, [0, 2], codec, KvFormat.COMPACTED)
    one_by_one = PartialMerger(SCHEMA, 2, [0, 2], codec, KvFormat.INDEXED)  # which only decides how, in this test
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(default, "_SPLICED_FROM_ROWS", 1)
        changes = merge(together, list(records), current, image=image)
    assert changes == merge(one_by_one, list(records), current, image=image)


@given(st.lists(ROWS, max_size=6), st.dictionaries(st.sampled_from([b"x", b"y"]), st.sampled_from([A, B])))
@settings(max_examples=examples(40))
def test_whole_rows_replace_others(records: list[tuple[bytes, bytes]], current: dict[bytes, bytes | None]) -> None:
    changes = merge(ReplaceMerger(), list(records), current)
    expected = Changes()
    state = dict(current)
    for key, new in records:
        old = state.get(key)
        expected.change_types += bytes([1]) if old is None else bytes([2, 3])
        expected.images += [new] if old is None else [old, new]
        expected.keys.append(key)
        expected.values.append(new)
        state[key] = new
    assert changes == expected


def test_rows_of_an_older_schema_are_merged_one_by_one() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(default, "_SPLICED_FROM_ROWS", 1)
        merger = PartialMerger(SCHEMA, 2, [0, 2], codec, KvFormat.COMPACTED)
        changes = merge(merger, [(b"x", C), (b"y", C)], {b"x": value(1, "old", schema_id=1)})
    assert changes.values == [value(1, "old", 3.0), value(1, None, 3.0)]


def test_columns_of_the_key_alone_change_nothing() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(default, "_SPLICED_FROM_ROWS", 1)
        merger = PartialMerger(SCHEMA, 2, [0], codec, KvFormat.COMPACTED)
        changes = merge(merger, [(b"x", C), (b"y", C)], {b"x": A})
    assert (changes.keys, changes.values) == ([b"y"], [value(1, None, None)])
