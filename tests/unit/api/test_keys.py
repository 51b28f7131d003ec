"""The API table against the facts of the official classes."""

from __future__ import annotations

import pytest

from fluss_server.api.keys import API_SPECS, BETWEEN_SERVERS, FIRST_OWN_KEY, FIRST_TOOL_KEY, ApiKey
from fluss_server.errors import ErrorCode
from vectors_loader import load


def test_every_key_has_an_entry_and_messages() -> None:
    assert set(API_SPECS) == set(ApiKey)
    assert len(ApiKey) == 67 + len([key for key in ApiKey if key >= FIRST_OWN_KEY])
    for key, spec in API_SPECS.items():
        assert spec.key == key
        assert spec.name == key.name
        assert spec.request.DESCRIPTOR.name == f"{spec.messages}Request"
        assert spec.response.DESCRIPTOR.name == f"{spec.messages}Response"


def test_keys_and_versions_are_those_of_0_9_1() -> None:
    official = {entry["key"]: (entry["name"], entry["min"], entry["max"]) for entry in load("rpc_frames")["api_keys"]}
    official[ApiKey.PUT_KV] = ("PUT_KV", 0, 2)  # of 1.0: whose clients know STORAGE_BACKPRESSURE
    official[ApiKey.ALTER_TABLE] = ("ALTER_TABLE", 0, 1)  # of 1.0: another number of buckets
    ours = {int(key): (spec.name, spec.min_version, spec.max_version) for key, spec in API_SPECS.items()}
    assert {key: ours[key] for key in official} == official
    for key in ours.keys() - official.keys():
        assert ours[key][1:] == (0, 0)


def test_own_apis_are_between_servers_and_bounded() -> None:
    for spec in API_SPECS.values():
        assert spec.is_own == (spec.key >= FIRST_OWN_KEY)
        assert spec.between_servers == (spec.key in BETWEEN_SERVERS)
        if spec.is_own:
            assert spec.between_servers == (spec.key < FIRST_TOOL_KEY)
        if spec.between_servers:
            assert spec.max_request_bytes <= 16 << 20


def test_error_codes_are_the_official_ones() -> None:
    for entry in load("rpc_frames")["error_codes"]:
        assert ErrorCode(entry["code"]).name == entry["name"]


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        API_SPECS[ApiKey.LOOKUP] = API_SPECS[ApiKey.LOOKUP]  # type: ignore[index]
