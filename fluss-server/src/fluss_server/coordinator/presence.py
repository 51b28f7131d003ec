"""Whether the tablet servers are back that were members under an earlier coordinator."""

from __future__ import annotations

import asyncio

from fluss_server.errors import ErrorCode, FlussError


class Presence:
    """What has to wait for tablet servers waits here. Lives on one event loop."""

    def __init__(self) -> None:
        self._is_over = asyncio.Event()
        self._is_closed = False

    def __bool__(self) -> bool:
        """Whether nobody has to wait."""
        return self._is_over.is_set()

    def servers_are_back(self) -> None:
        """Nobody has to wait any more: the servers are here, or have had time to come back."""
        self._is_over.set()

    def close(self) -> None:
        """The coordinator stops: who still waits, waits in vain."""
        if not self._is_over.is_set():
            self._is_closed = True
            self._is_over.set()

    async def wait(self) -> None:
        """Return when the servers are back, or have had time for it.

        Raises:
            FlussError: ``NOT_COORDINATOR_LEADER_EXCEPTION`` when the coordinator stops before that.
        """
        await self._is_over.wait()
        if self._is_closed:
            raise FlussError(
                ErrorCode.NOT_COORDINATOR_LEADER_EXCEPTION,
                "the coordinator has stopped before all tablet servers were back",
                hint="look whether the change was made, and send the request again",
            )
