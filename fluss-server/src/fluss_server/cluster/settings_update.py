"""UPDATE_SETTINGS: the settings of the cluster and its access control entries, from the coordinator to tablet servers.

A tablet server gets everything when it registers and what is changed afterwards, numbered and repeated like other
control requests. A long request is cut into parts with the same stamp, which are made, and taken in, one at a time: all
entries of a large cluster at once would hold the event loop for seconds. They take effect with the last one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from fluss_server.api.own_messages import message_class
from fluss_server.cluster.messages import ControlStamp
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.acl_records import decode_acls, encode_acls
from fluss_server.model.acl import AclEntry, Resource, ResourceType

MAX_PART_BYTES = 64 << 10
"""About the longest request; the entries of a single resource may need more. About 500 entries, which take some
milliseconds to encode, and to take in."""

_ENTRY_BYTES = 64


class ResourceAcls(NamedTuple):
    """All access control entries of one resource; none = there are none any more."""

    resource: Resource
    entries: frozenset[AclEntry]


class UpdateSettings(NamedTuple):
    """Settings that the cluster has now.

    Attributes:
        coordinator_epoch: of the coordinator.
        version: of the settings; grows from change to change of a coordinator epoch. Heartbeats name it, too.
        overrides: every option that was changed while the cluster ran; None = they are as before.
        acls: of all resources in a snapshot, else of those whose entries were changed.
        snapshot: what is not in it is gone.
        stamp: see ``ControlStamp``.
        part: number of this part, from 0.
        is_last: whether it is the last part.
    """

    coordinator_epoch: int
    version: int
    overrides: tuple[tuple[str, str | None], ...] | None = None
    acls: tuple[tuple[Resource, frozenset[AclEntry]], ...] = ()
    snapshot: bool = False
    stamp: ControlStamp | None = None
    part: int = 0
    is_last: bool = True


def encoded_parts(update: UpdateSettings, max_bytes: int = MAX_PART_BYTES) -> Iterator[Any]:
    """The update as messages to send in order, each of bounded size and made when it is taken."""
    number = 0
    message = _encode(update._replace(acls=(), part=0, is_last=False))
    total = 0
    for resource, entries in update.acls:
        acls_json = encode_acls(entries) if entries else b""
        size = _ENTRY_BYTES + len(resource.name) + len(acls_json)
        if message.acls and total + size > max_bytes:
            yield message
            number += 1
            message = _encode(update._replace(overrides=None, acls=(), part=number, is_last=False))
            total = 0
        message.acls.add(resource_type=resource.type, resource_name=resource.name, acls_json=acls_json)
        total += size
    message.is_last = True
    yield message


class SettingsParts:
    """Which parts of one update have come. They come in order; each may come again."""

    def __init__(self) -> None:
        self._of: tuple[int, ControlStamp | None] | None = None
        self._expected = 0
        self._is_complete = False

    def add(self, update: UpdateSettings) -> bool:
        """Take a part in; returns whether it is the next one, and not one that has come already.

        Raises:
            FlussError: ``INVALID_UPDATE_VERSION_EXCEPTION`` when parts before it are missing: send all of them again.
        """
        key = update.coordinator_epoch, update.stamp
        if update.part == 0 and (key != self._of or update.stamp is None):
            self._of, self._expected, self._is_complete = key, 0, False
        if key != self._of or (update.part > self._expected and not self._is_complete):
            raise FlussError(
                ErrorCode.INVALID_UPDATE_VERSION_EXCEPTION,
                f"part {update.part} of the settings came without the parts before it",
            )
        if self._is_complete or update.part < self._expected:
            return False
        self._expected += 1
        self._is_complete = update.is_last
        return True


def encode_update_settings(value: UpdateSettings) -> Any:
    message = _encode(value)
    for resource, entries in value.acls:
        message.acls.add(
            resource_type=resource.type, resource_name=resource.name, acls_json=encode_acls(entries) if entries else b""
        )
    return message


def _encode(value: UpdateSettings) -> Any:
    """All fields without the entries."""
    message = message_class("UpdateSettingsRequest")(
        coordinator_epoch=value.coordinator_epoch,
        version=value.version,
        snapshot=value.snapshot,
        part=value.part,
        is_last=value.is_last,
        has_overrides=value.overrides is not None,
    )
    for key, text in value.overrides or ():
        message.overrides.add(key=key, value=text)
    if value.stamp is not None:
        message.incarnation, message.sequence = value.stamp
    return message


def decode_update_settings(message: Any) -> UpdateSettings:
    """``CORRUPT_MESSAGE`` for what cannot be read."""
    try:
        acls = tuple(
            ResourceAcls(
                Resource(ResourceType(entry.resource_type), entry.resource_name),
                decode_acls("UPDATE_SETTINGS", entry.acls_json) if entry.acls_json else frozenset(),
            )
            for entry in message.acls
        )
    except (ValueError, FlussError) as error:
        raise FlussError(ErrorCode.CORRUPT_MESSAGE, f"access control entries cannot be read: {error}") from None
    overrides = tuple((entry.key, entry.value if entry.HasField("value") else None) for entry in message.overrides)
    return UpdateSettings(
        message.coordinator_epoch,
        message.version,
        overrides if message.has_overrides else None,
        acls,
        message.snapshot,
        ControlStamp(message.incarnation, message.sequence) if message.HasField("sequence") else None,
        message.part,
        message.is_last,
    )
