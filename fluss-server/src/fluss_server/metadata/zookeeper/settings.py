"""How to reach ZooKeeper, from the options of a server."""

from __future__ import annotations

from dataclasses import dataclass

from fluss_server.config.option import Configuration
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.store import check_path

MAX_ROOT_BYTES = 64
"""Longest root; the estimate of the size of a transaction counts on it."""


@dataclass(frozen=True, slots=True)
class ZooKeeperSettings:
    """Where ZooKeeper is, and how long to wait for it.

    Attributes:
        address: ``host:port``, several with commas between them; a path after them is put before ``root``.
        root: node that holds everything; made when it does not exist.
        session_timeout_s: time after which the ensemble ends a session that it does not hear from; it may cap it. A
            commit takes no longer.
        connection_timeout_s: longest time to wait for a connection or for what is read.
        retry_wait_s: longest pause between two attempts to connect.
        max_attempts: how often a change is sent that certainly had no effect before.
        max_inflight: most requests without a response.
        tolerate_suspended: whether leadership lasts as long as the session, instead of the connection.
    """

    address: str
    root: str = "/fluss"
    session_timeout_s: float = 60.0
    connection_timeout_s: float = 15.0
    retry_wait_s: float = 5.0
    max_attempts: int = 3
    max_inflight: int = 100
    tolerate_suspended: bool = False

    def __post_init__(self) -> None:
        try:
            check_path(self.prefix or "/")
        except ValueError:
            raise _invalid(
                f"zookeeper.path.root: {self.root!r} is not the path of a node", "an example is /fluss"
            ) from None
        if len(self.prefix.encode()) > MAX_ROOT_BYTES:
            raise _invalid(f"zookeeper.path.root: {self.prefix!r} has more than {MAX_ROOT_BYTES} bytes")
        if not self.hosts:
            raise _invalid("zookeeper.address names no host", "an example is zk1:2181,zk2:2181")

    @classmethod
    def of(cls, configuration: Configuration) -> ZooKeeperSettings:
        """The settings in the options of a server.

        Raises:
            FlussError: ``INVALID_CONFIG_EXCEPTION`` without an address, or for a bad root.
        """
        address = configuration.get("zookeeper.address")
        if not isinstance(address, str):
            raise _invalid("zookeeper.address is not set", "an example is zk1:2181,zk2:2181")
        root = configuration.get("zookeeper.path.root")
        assert isinstance(root, str), "it has a default"
        return cls(
            address,
            root,
            session_timeout_s=configuration.get_int("zookeeper.client.session-timeout") / 1000,
            connection_timeout_s=configuration.get_int("zookeeper.client.connection-timeout") / 1000,
            retry_wait_s=configuration.get_int("zookeeper.client.retry-wait") / 1000,
            max_attempts=configuration.get_int("zookeeper.client.max-retry-attempts"),
            max_inflight=configuration.get_int("zookeeper.client.max-inflight-requests"),
            tolerate_suspended=configuration.get("zookeeper.client.tolerate-suspended-connections") is True,
        )

    @property
    def hosts(self) -> str:
        """``host:port`` of every server, with commas between them."""
        return self.address.partition("/")[0].strip()

    @property
    def prefix(self) -> str:
        """What stands before every path; empty when the root is ``/``."""
        _, slash, chroot = self.address.partition("/")
        return (slash + chroot).rstrip("/") + self.root.rstrip("/")


def _invalid(message: str, hint: str | None = None) -> FlussError:
    return FlussError(ErrorCode.INVALID_CONFIG_EXCEPTION, message, hint=hint)
