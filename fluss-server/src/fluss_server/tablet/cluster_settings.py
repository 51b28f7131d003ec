"""The settings of the cluster on a tablet server: as the coordinator says."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from fluss_server.cluster.messages import Registered
from fluss_server.config.dynamic import DynamicConfiguration
from fluss_server.runtime.clock import Clock

if TYPE_CHECKING:
    from fluss_server.cluster.settings_update import SettingsParts, UpdateSettings
    from fluss_server.security.acl_replica import AclChange, AclReplica

logger = logging.getLogger(__name__)


class ClusterSettings:
    """Takes in UPDATE_SETTINGS, and what heartbeats say of the version.

    Args:
        configuration: of this server.
        acls: decides what clients may do; None = everything.
        clock: the machine's.
    """

    def __init__(self, configuration: DynamicConfiguration, acls: AclReplica | None, clock: Clock) -> None:
        self._configuration = configuration
        self._acls = acls
        self._now = clock.monotonic
        self._parts: SettingsParts | None = None
        self._change: AclChange | None = None  # of which parts have come
        self._overrides: dict[str, str | None] | None = None
        self._version: tuple[int, int] | None = None  # coordinator epoch and version

    def update(self, request: UpdateSettings) -> None:
        """Take in a request that was checked by its stamp; with the last part it is effective for the next request of a
        client.

        Raises:
            FlussError: ``INVALID_UPDATE_VERSION_EXCEPTION`` when parts before it are missing.
        """
        if self._parts is None:
            # The coordinator of a server in the same process sends nothing.
            from fluss_server.cluster.settings_update import SettingsParts

            self._parts = SettingsParts()
        if not self._parts.add(request):
            return
        if request.part == 0:
            self._overrides = None if request.overrides is None else dict(request.overrides)
            self._change = None if self._acls is None else self._acls.begin(snapshot=request.snapshot)
        if self._change is not None:
            self._change.add(request.acls)
        if request.is_last:
            self._complete(request)

    def _complete(self, update: UpdateSettings) -> None:
        change, self._change = self._change, None
        if self._acls is not None and change is not None:
            self._acls.complete(change)
        if self._overrides is not None:
            self._configuration.take_over(self._overrides)
        version = update.coordinator_epoch, update.version
        if update.snapshot or self._version is not None:
            self._version = version
            self._confirm(self._now())
        logger.debug("settings of the cluster, version %s", version)

    def heard(self, sent_at: float, registered: Registered) -> None:
        """A heartbeat that was sent at some time of the monotonic clock was responded to."""
        if registered.settings_version is None:
            return
        if self._version == (registered.coordinator_epoch, registered.settings_version):
            self._confirm(sent_at)

    def _confirm(self, at: float) -> None:
        if self._acls is not None:
            self._acls.confirm(at)
