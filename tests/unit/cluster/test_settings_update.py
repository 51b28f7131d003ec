"""UPDATE_SETTINGS: encoded, cut, and put together again."""

from __future__ import annotations

from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from error_support import code_of
from fluss_server.api.own_messages import message_class
from fluss_server.cluster.messages import ControlStamp
from fluss_server.cluster.settings_update import (
    ResourceAcls,
    SettingsParts,
    UpdateSettings,
    cut,
    decode_update_settings,
    encode_update_settings,
)
from fluss_server.errors import ErrorCode
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


def test_a_long_update_is_cut_into_bounded_parts_and_is_whole_at_the_end() -> None:
    update = large(500)
    parts = cut(update, 10_000)
    assert len(parts) > 5
    assert max(encode_update_settings(part).ByteSize() for part in parts) < 11_000
    collector = SettingsParts()
    found = [collector.add(part) for part in parts]
    assert found[:-1] == [None] * (len(parts) - 1)
    assert found[-1] == update
    assert [collector.add(part) for part in parts] == [None] * len(parts), "a repetition changes nothing"
    assert cut(large(0)) == [large(0)]


def test_parts_come_again_and_never_out_of_order() -> None:
    first, second, third = cut(large(3), 1)
    collector = SettingsParts()
    for early in (second, third):
        assert code_of(partial(collector.add, early)) is ErrorCode.INVALID_UPDATE_VERSION_EXCEPTION
    assert collector.add(first) is None
    assert code_of(partial(collector.add, third)) is ErrorCode.INVALID_UPDATE_VERSION_EXCEPTION
    for repeated in (first, second, first, second):
        assert collector.add(repeated) is None
    assert collector.add(third) == large(3)
    assert collector.add(third) is None


def test_parts_of_another_update_replace_those_of_an_incomplete_one() -> None:
    collector = SettingsParts()
    collector.add(cut(large(3), 1)[0])
    newer = large(2)._replace(stamp=ControlStamp("this process", 8))
    first, second = cut(newer, 1)
    assert code_of(lambda: collector.add(second)) is ErrorCode.INVALID_UPDATE_VERSION_EXCEPTION
    assert collector.add(first) is None
    assert collector.add(second) == newer
