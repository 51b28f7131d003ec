"""Settings in the metadata tree, by official bytes."""

from __future__ import annotations

import json

import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.config_records import SERVER_CONFIG, decode_server_config, encode_server_config
from vectors_loader import load


def test_the_official_node() -> None:
    (node,) = [node for node in load("zookeeper")["nodes"] if node["node"] == "ConfigEntityZNode"]
    assert node["path"] == SERVER_CONFIG
    configs = decode_server_config(node["payload_text"].encode())
    assert configs == {"datalake.format": "paimon", "x": None}
    assert json.loads(encode_server_config(configs)) == json.loads(node["payload_text"])
    assert encode_server_config(configs).decode() == node["payload_text"]


@pytest.mark.parametrize("value", [b"", b"[]", b"{}", b'{"configs":[]}', b'{"configs":{"a":1}}'])
def test_unreadable_nodes(value: bytes) -> None:
    with pytest.raises(FlussError, match="/config/server/global cannot be read") as raised:
        decode_server_config(value)
    assert raised.value.code is ErrorCode.UNKNOWN_SERVER_ERROR
