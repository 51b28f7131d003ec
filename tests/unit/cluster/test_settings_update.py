"""UPDATE_SETTINGS: encoded, cut, and put together again."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from error_support import code_of
from fluss_server.api.own_messages import message_class
from fluss_server.cluster import settings_update
from fluss_server.cluster.messages import ControlStamp
from fluss_server.cluster.settings_update import (
    ResourceAcls,
    SettingsParts,
    UpdateSettings,
    decode_update_settings,
    encode_update_settings,
    encoded_parts,
)
from fluss_server.errors import ErrorCode
from fluss_server.metadata.acl_records import encode_acls
from fluss_server.model.acl import AclEntry, Operation, Permission, Resource, ResourceType
from fluss_server.model.principal import Principal

STAMP = ControlStamp("this process", 7)
words = st.text(min_size=1, max_size=20)
entries = st.builds(
    AclEntry,
    st.builds(Principal, words, words),
    words,
    st.sampled_from(Operation),
    st.sampled_from(Permission),
)
acls = st.builds(
    ResourceAcls,
    st.builds(Resource, st.sampled_from(ResourceType), words),
    st.frozensets(entries, max_size=3),
)
updates = st.builds(
    UpdateSettings,
    st.integers(0, 2**31 - 1),
    st.integers(0, 2**63 - 1),
    st.none() | st.lists(st.tuples(words, st.none() | st.text())).map(tuple),
    st.lists(acls, max_size=3).map(tuple),
    st.booleans(),
    st.none() | st.just(STAMP),
    st.integers(0, 9),
    st.booleans(),
)


@given(updates)
def test_decoding_undoes_encoding(update: UpdateSettings) -> None:
    message = encode_update_settings(update)
    again = message_class("UpdateSettingsRequest").FromString(message.SerializeToString())
    assert decode_update_settings(again) == update


def test_what_cannot_be_read_is_refused() -> None:
    message = encode_update_settings(large(1))
    message.acls[0].acls_json = b"{}"
    assert code_of(lambda: decode_update_settings(message)) is ErrorCode.CORRUPT_MESSAGE
    message = encode_update_settings(large(1))
    message.acls[0].resource_type = 99
    assert code_of(lambda: decode_update_settings(message)) is ErrorCode.CORRUPT_MESSAGE


def large(resources: int) -> UpdateSettings:
    entry = AclEntry(Principal("User", "bob"), "*", Operation.READ, Permission.ALLOW)
    return UpdateSettings(
        3,
        11,
        (("a.key", "1"), ("b.key", None)),
        tuple(
            ResourceAcls(Resource(ResourceType.TABLE, f"d.t{number}"), frozenset({entry}))
            for number in range(resources)
        ),
        snapshot=True,
        stamp=STAMP,
    )


def parts_of(update: UpdateSettings, max_bytes: int) -> list[UpdateSettings]:
    return [decode_update_settings(message) for message in encoded_parts(update, max_bytes)]


def test_a_long_update_is_cut_into_bounded_parts_and_is_whole_at_the_end() -> None:
    update = large(500)
    messages = list(encoded_parts(update, 10_000))
    assert len(messages) > 5
    assert max(message.ByteSize() for message in messages) < 11_000
    parts = [decode_update_settings(message) for message in messages]
    assert [part.part for part in parts] == list(range(len(parts)))
    assert [part.is_last for part in parts] == [*[False] * (len(parts) - 1), True]
    assert [part.overrides for part in parts] == [update.overrides, *[None] * (len(parts) - 1)]
    assert tuple(acl for part in parts for acl in part.acls) == update.acls
    assert {part._replace(overrides=None, acls=(), part=0, is_last=True) for part in parts} == {
        update._replace(overrides=None, acls=())
    }
    assert parts_of(large(0), 10_000) == [large(0)]


def test_a_part_is_made_when_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """All entries of a cluster at once would hold the event loop for longer than a lease."""
    encoded: list[int] = []

    def counted(entries: Collection[AclEntry]) -> bytes:
        encoded.append(len(entries))
        return encode_acls(entries)

    monkeypatch.setattr(settings_update, "encode_acls", counted)
    steps = []
    for _ in encoded_parts(large(20_000)):
        steps.append(sum(encoded))
        encoded.clear()
    assert sum(steps) == 20_000, "each entry is encoded once"
    assert max(steps) < 1_000


def test_parts_come_again_and_never_out_of_order() -> None:
    first, second, third = parts_of(large(3), 1)
    collector = SettingsParts()
    for early in (second, third):
        assert code_of(partial(collector.add, early)) is ErrorCode.INVALID_UPDATE_VERSION_EXCEPTION
    assert collector.add(first)
    assert code_of(partial(collector.add, third)) is ErrorCode.INVALID_UPDATE_VERSION_EXCEPTION
    assert not collector.add(first)
    assert collector.add(second)
    for repeated in (first, second):
        assert not collector.add(repeated)
    assert collector.add(third)
    for repeated in (first, second, third):
        assert not collector.add(repeated)


def test_parts_of_another_update_replace_those_of_an_incomplete_one() -> None:
    collector = SettingsParts()
    collector.add(parts_of(large(3), 1)[0])
    newer = large(2)._replace(stamp=ControlStamp("this process", 8))
    first, second = parts_of(newer, 1)
    assert code_of(lambda: collector.add(second)) is ErrorCode.INVALID_UPDATE_VERSION_EXCEPTION
    assert collector.add(first)
    assert collector.add(second)
