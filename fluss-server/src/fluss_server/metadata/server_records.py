"""The nodes by which servers are found: ephemeral, below ``/coordinators`` and ``/tabletservers``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from fluss_server.errors import ErrorCode, FlussError

COORDINATOR_IDS = "/coordinators/ids"
ACTIVE_COORDINATOR = "/coordinators/active"
TABLET_SERVER_IDS = "/tabletservers/ids"
LEASE_GRANTOR = "/coordinators/lease-grantor"


def coordinator_id_path(coordinator_id: str) -> str:
    return f"{COORDINATOR_IDS}/{coordinator_id}"


def tablet_server_id_path(server_id: int) -> str:
    return f"{TABLET_SERVER_IDS}/{server_id}"


class CoordinatorRecord(NamedTuple):
    """A coordinator: its id, and ``NAME://host:port`` of every listener with commas between them."""

    coordinator_id: str
    listeners: str

    def encode(self) -> bytes:
        return _encode({"version": 2, "id": self.coordinator_id, "listeners": self.listeners})

    @classmethod
    def decode(cls, path: str, value: bytes) -> CoordinatorRecord:
        """The record in a node; ``UNKNOWN_SERVER_ERROR``."""
        document = _decode(path, value, ["id", "listeners"])
        return cls(document["id"], document["listeners"])


class LeaseGrantorRecord(NamedTuple):
    """The coordinator that may grant leases without contact to the store: its id, its listeners, and its epoch."""

    coordinator_id: str
    listeners: str
    epoch: int

    def encode(self) -> bytes:
        return _encode(
            {"version": 1, "id": self.coordinator_id, "listeners": self.listeners, "coordinator_epoch": self.epoch}
        )

    @classmethod
    def decode(cls, path: str, value: bytes) -> LeaseGrantorRecord:
        """The record in a node; ``UNKNOWN_SERVER_ERROR``."""
        document = _decode(path, value, ["id", "listeners"])
        epoch = document.get("coordinator_epoch")
        if not isinstance(epoch, int):
            raise FlussError(ErrorCode.UNKNOWN_SERVER_ERROR, f"metadata node {path} has no coordinator_epoch")
        return cls(document["id"], document["listeners"], epoch)


class TabletServerRecord(NamedTuple):
    """A tablet server: its listeners, when it registered in milliseconds since 1970-01-01 UTC, and its rack."""

    listeners: str
    register_timestamp: int
    rack: str | None = None

    def encode(self) -> bytes:
        document: dict[str, Any] = {
            "version": 3,
            "listeners": self.listeners,
            "register_timestamp": self.register_timestamp,
        }
        if self.rack is not None:
            document["rack"] = self.rack
        return _encode(document)


def _encode(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def _decode(path: str, value: bytes, texts: Sequence[str]) -> dict[str, Any]:
    try:
        document = json.loads(value)
        if not isinstance(document, dict) or not all(isinstance(document.get(name), str) for name in texts):
            raise ValueError("a field is missing")
    except ValueError as error:
        raise FlussError(ErrorCode.UNKNOWN_SERVER_ERROR, f"metadata node {path} cannot be read: {error}") from None
    return document
