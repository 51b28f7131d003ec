"""Access control entries in the metadata tree, by official bytes."""

from __future__ import annotations

import json

import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.acl_records import acl_path, decode_acls, encode_acls
from fluss_server.model.acl import AclEntry, Operation, Resource, ResourceType
from fluss_server.model.principal import Principal
from vectors_loader import load

ALICE = AclEntry(Principal("User", "alice"), "*", Operation.READ)


def test_the_official_node() -> None:
    (node,) = [node for node in load("zookeeper")["nodes"] if node["node"] == "ResourceAclNode"]
    assert acl_path(Resource(ResourceType.TABLE, "mydb.t1")) == node["path"]
    assert encode_acls([ALICE]).decode() == node["payload_text"]
    assert decode_acls(node["path"], node["payload_text"].encode()) == {ALICE}


def test_many_entries_survive() -> None:
    entries = {ALICE, AclEntry(Principal("Role", "ü"), "10.0.0.1", Operation.ALL), ALICE._replace(host="::1")}
    assert decode_acls("/x", encode_acls(entries)) == entries


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"[]",
        b"{}",
        b'{"acls":[{}]}',
        b'{"acls":[1]}',
        encode_acls([ALICE]).replace(b"READ", b"FLY"),
        json.dumps({"acls": [{**json.loads(encode_acls([ALICE]))["acls"][0], "host": 1}]}).encode(),
    ],
)
def test_unreadable_nodes_name_their_path(value: bytes) -> None:
    with pytest.raises(FlussError, match=r"/fluss-acls/TABLE/d\.t cannot be read") as raised:
        decode_acls("/fluss-acls/TABLE/d.t", value)
    assert raised.value.code is ErrorCode.UNKNOWN_SERVER_ERROR
