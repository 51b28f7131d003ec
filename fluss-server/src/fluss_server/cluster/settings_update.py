"""UPDATE_SETTINGS: the settings of the cluster and its access control entries, from the coordinator to tablet servers.

A tablet server gets everything when it registers and what is changed afterwards, numbered and repeated like other
control requests. A long request is cut into parts with the same stamp; the receiver keeps them until the last one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from fluss_server.api.own_messages import message_class
from fluss_server.cluster.messages import ControlStamp
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.acl_records import decode_acls, encode_acls
from fluss_server.model.acl import AclEntry, Resource, ResourceType

MAX_PART_BYTES = 256 << 10
"""About the longest request; the entries of a single resource may need more. Decoding it takes less than 20 ms."""

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
    acls: tuple[ResourceAcls, ...] = ()
    snapshot: bool = False
    stamp: ControlStamp | None = None
    part: int = 0
    is_last: bool = True


def cut(update: UpdateSettings, max_bytes: int = MAX_PART_BYTES) -> list[UpdateSettings]:
    """The update in parts of bounded size, to be sent in order."""
    groups = list(_groups(update.acls, max_bytes)) or [()]
    return [
        update._replace(
            overrides=update.overrides if number == 0 else None,
            acls=group,
            part=number,
            is_last=number == len(groups) - 1,
        )
        for number, group in enumerate(groups)
    ]


def _groups(acls: Sequence[ResourceAcls], max_bytes: int) -> Iterator[tuple[ResourceAcls, ...]]:
    group: list[ResourceAcls] = []
    total = 0
    for entry in acls:
        size = _ENTRY_BYTES + len(entry.resource.name) + len(encode_acls(entry.entries))
        if group and total + size > max_bytes:
            yield tuple(group)
            group, total = [], 0
        group.append(entry)
        total += size
    if group:
        yield tuple(group)


class SettingsParts:
    """Collects the parts of one update. They come in order; each may come again."""

    def __init__(self) -> None:
        self._of: tuple[int, ControlStamp | None] | None = None
        self._parts: list[UpdateSettings] = []
        self._complete = False

    def add(self, update: UpdateSettings) -> UpdateSettings | None:
        """Take a part in.

        Returns:
            the whole update with its last part, once; else None.

        Raises:
            FlussError: ``INVALID_UPDATE_VERSION_EXCEPTION`` when parts before it are missing: send all of them again.
        """
        key = update.coordinator_epoch, update.stamp
        if update.part == 0 and (key != self._of or update.stamp is None):
            self._of, self._parts, self._complete = key, [], False
        if key != self._of or (update.part > len(self._parts) and not self._complete):
            raise FlussError(
                ErrorCode.INVALID_UPDATE_VERSION_EXCEPTION,
                f"part {update.part} of the settings came without the parts before it",
            )
        if self._complete or update.part < len(self._parts):
            return None
        self._parts.append(update)
        if not update.is_last:
            return None
        parts, self._parts, self._complete = self._parts, [], True
        return parts[0]._replace(acls=tuple(acl for part in parts for acl in part.acls), part=0, is_last=True)


def encode_update_settings(value: UpdateSettings) -> Any:
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
    for resource, entries in value.acls:
        message.acls.add(
            resource_type=resource.type, resource_name=resource.name, acls_json=encode_acls(entries) if entries else b""
        )
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
