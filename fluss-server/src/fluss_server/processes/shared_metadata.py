"""The metadata store that the processes of a cluster share, and the election of the active coordinator in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from fluss_server.config import Configuration
from fluss_server.metadata.participant import Participant
from fluss_server.metadata.store import MetadataStore
from fluss_server.runtime.runtime import Runtime

if TYPE_CHECKING:
    from fluss_server.metadata.zookeeper.settings import ZooKeeperSettings


class Latch(Protocol):
    """One participant of the election: :meth:`acquire`, :meth:`lost`, :meth:`release`, and from the beginning."""

    async def acquire(self) -> None:
        """Return when this participant leads; for as long as that takes, through lost connections and sessions."""

    async def lost(self) -> None:
        """Return when this participant does not lead any more, or does not know it."""

    async def release(self) -> None:
        """Take part no more, until the next :meth:`acquire`."""

    async def nodes(self) -> list[Participant]:
        """All participants, the leader first; ``STORAGE_EXCEPTION``."""

    async def remove(self, participant: Participant) -> None:
        """Take another participant out, as the end of its session would; ``STORAGE_EXCEPTION``."""

    def close(self) -> None:
        """Forget the latch, after :meth:`release` or with its session."""


class SharedStore(NamedTuple):
    """A connection to the shared store.

    Attributes:
        store: close it last.
        latch: makes the participant of that id.
        connected: whether there is a connection now.
    """

    store: MetadataStore
    latch: Callable[[str], Latch]
    connected: Callable[[], bool] = lambda: True


class SharedMetadata(Protocol):
    """How a process reaches the store of its cluster."""

    async def connect(self, runtime: Runtime) -> SharedStore:
        """Connect.

        Raises:
            FlussError: ``STORAGE_EXCEPTION`` when that takes too long.
        """


class ZooKeeperMetadata:
    """The tree of the cluster in ZooKeeper.

    Args:
        settings: of the connection.
    """

    def __init__(self, settings: ZooKeeperSettings) -> None:
        self._settings = settings

    @classmethod
    def of(cls, configuration: Configuration) -> ZooKeeperMetadata | None:
        """What the options say; None without ``zookeeper.address``."""
        if configuration.find_str("zookeeper.address") is None:
            return None
        # kazoo costs start-up time, which a server without ZooKeeper need not pay.
        from fluss_server.metadata.zookeeper.settings import ZooKeeperSettings

        return cls(ZooKeeperSettings.of(configuration))

    async def connect(self, runtime: Runtime) -> SharedStore:
        from fluss_server.coordinator.standby_coordinators import OUTAGE_S
        from fluss_server.metadata.zookeeper.latch import LeaderLatch
        from fluss_server.metadata.zookeeper.states import ConnectionState
        from fluss_server.metadata.zookeeper.store import ZooKeeperMetadataStore

        store = await ZooKeeperMetadataStore.connect(self._settings, runtime)
        return SharedStore(
            store,
            lambda participant_id: LeaderLatch(store, participant_id, runtime, outlasts_s=OUTAGE_S),
            lambda: store.connection is ConnectionState.CONNECTED,
        )
