"""Settings and access control entries of the cluster, for tablet servers in other processes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping

from fluss_server.cluster.settings_update import UpdateSettings
from fluss_server.config.dynamic import DynamicConfiguration
from fluss_server.coordinator.events import SettingsChange
from fluss_server.model.acl import AclEntry, Resource

_Entries = Mapping[Resource, frozenset[AclEntry]]


class SettingsDistribution:
    """Numbers the changes, and says what they are.

    Args:
        configuration: of the coordinator.
        entries: all access control entries; nothing when permissions are not checked.
        tell: sends a change to every tablet server and returns when those that are there have it; it raises
            ``REQUEST_TIME_OUT`` when one does not respond.

    Attributes:
        version: of the settings.
    """

    def __init__(
        self,
        configuration: DynamicConfiguration,
        entries: Callable[[], _Entries],
        tell: Callable[[SettingsChange], Awaitable[None]],
    ) -> None:
        self._configuration = configuration
        self._entries = entries
        self._tell = tell
        self.version = 0

    async def overrides_changed(self) -> None:
        """Settings were changed."""
        self.version += 1
        await self._tell(SettingsChange(self.version, overrides=True))

    async def entries_changed(self, resources: Collection[Resource]) -> None:
        """The entries of some resources were changed."""
        self.version += 1
        await self._tell(SettingsChange(self.version, resources=tuple(sorted(resources))))

    def everything(self) -> SettingsChange:
        """For a server that knows nothing."""
        return SettingsChange(self.version, snapshot=True)

    def content(self, change: SettingsChange, coordinator_epoch: int) -> UpdateSettings:
        """A change with what is now; later changes are sent again, with their own version."""
        entries = self._entries()
        acls = (
            entries.items() if change.snapshot else ((one, entries.get(one, frozenset())) for one in change.resources)
        )
        return UpdateSettings(
            coordinator_epoch,
            self.version if change.snapshot else change.version,
            tuple(sorted(self._configuration.overrides.items())) if change.overrides or change.snapshot else None,
            tuple(acls),
            change.snapshot,
        )
