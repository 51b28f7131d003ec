"""What can be said of the connection to ZooKeeper, in Curator's three states."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum


class ConnectionState(Enum):
    """State of the connection and of its session."""

    CONNECTED = "connected"
    SUSPENDED = "suspended"  # no connection; the session may be alive
    LOST = "lost"  # the session and its ephemeral nodes are gone or about to go; another session comes by itself


StateListener = Callable[[ConnectionState], None]
"""Called on the event loop with each new state; must not wait."""
