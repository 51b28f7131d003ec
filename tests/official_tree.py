"""The nodes of a ZooKeeper tree as a client sees them that is not ours, and what official servers write into each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError

from vectors_loader import load
from zookeeper_support import ZooKeeperServer

LEFT_OUT = object()
"""As a field of :func:`official`: the node does not have it."""


def vector(kind: str) -> tuple[str, bytes]:
    """Path and value of an official node."""
    (node,) = [node for node in load("zookeeper")["nodes"] if node["node"] == kind]
    return node["path"], node["payload_text"].encode()


def official(kind: str, added: Mapping[str, Any] | None = None, **fields: Any) -> bytes:
    """What the official server writes into a node of that kind, with other values of the given fields.

    The order of the fields, their names and how values are written stay those of the vector.

    Args:
        kind: of the vector.
        added: fields of Apache Fluss 1.0, which the vectors of 0.9.1 lack; they come last.
        fields: other values.
    """
    _, value = vector(kind)
    document = json.loads(value)
    assert _encode(document) == value, "reading and writing a vector changes nothing"
    assert fields.keys() <= document.keys(), "a node has no fields beside those of the vector"
    changed = {name: fields.get(name, old) for name, old in document.items()}
    changed |= added or {}
    return _encode({name: value for name, value in changed.items() if value is not LEFT_OUT})


def _encode(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


class Tree:
    """The nodes below a root."""

    def __init__(self, client: KazooClient, root: str) -> None:
        self._client = client
        self._root = root

    def value(self, path: str) -> bytes:
        value: bytes = self._client.get(self._root + path)[0]
        return value

    def paths(self, path: str = "") -> set[str]:
        """Every path below ``path``, but what goes away meanwhile."""
        found: set[str] = set()
        try:
            names = self._client.get_children(self._root + path)
        except NoNodeError:
            return found
        for name in names:
            found |= {f"{path}/{name}"} | self.paths(f"{path}/{name}")
        return found

    def transactions(self) -> dict[str, int]:
        """Which transaction wrote each node last."""
        found: dict[str, int] = {}
        for path in self.paths():
            if (status := self._client.exists(self._root + path)) is not None:
                found[path] = status.mzxid
        return found

    def values(self) -> dict[str, bytes]:
        """Everything but what goes away meanwhile."""
        found: dict[str, bytes] = {}
        for path in self.paths():
            try:
                found[path] = self.value(path)
            except NoNodeError:
                continue
        return found

    def create(self, path: str, value: bytes) -> None:
        """Create a node and its parents."""
        self._client.create(self._root + path, value, makepath=True)

    def expect(self, kind: str) -> None:
        """The node of a vector is there, byte for byte."""
        path, value = vector(kind)
        assert self.value(path) == value


@contextmanager
def raw_tree(zookeeper: ZooKeeperServer, root: str) -> Iterator[Tree]:
    """Connected."""
    client = KazooClient(zookeeper.address)
    client.start()
    try:
        yield Tree(client, root)
    finally:
        client.stop()
        client.close()
