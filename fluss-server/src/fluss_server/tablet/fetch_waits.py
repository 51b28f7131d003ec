"""How long the fetches from one leader wait there when nothing happens."""

from __future__ import annotations

from collections.abc import Callable, Hashable

LONGEST = 20
"""A fetch waits at most this many times the configured time."""


class FetchWaits:
    """Lets the fetches of quiet buckets wait longer the more of them there are, so that their rate stays the same.

    One fetch at least waits for the configured time only: it tells the leader that this server lives.

    Args:
        wait_ms: the configured time.

    Attributes:
        fetches: how many there are.
    """

    def __init__(self, wait_ms: int) -> None:
        self._wait_ms = wait_ms
        self._short: set[Hashable] = set()
        self._long: dict[Hashable, Callable[[], None]] = {}
        self._disk_full: bool | None = None
        self.fetches = 0

    def take(self, taker: Hashable, hurry: Callable[[], None], *, is_quiet: bool, disk_full: bool | None) -> int:
        """Milliseconds for which the next fetch waits; :meth:`give_back` when it has ended.

        Args:
            taker: who fetches.
            hurry: has it end the wait.
            is_quiet: whether nothing has happened to any of its buckets for a while.
            disk_full: what the fetch says of this server's disk. Fetches that wait for long have to say it, too.
        """
        if disk_full != self._disk_full:
            self._disk_full = disk_full
            self._hurry_all()
        if not is_quiet or not self._short:
            self._short.add(taker)
            return self._wait_ms
        self._long[taker] = hurry
        return self._wait_ms * max(1, min(self.fetches, LONGEST))

    def give_back(self, taker: Hashable) -> None:
        """Its fetch has ended; may be called again."""
        self._short.discard(taker)
        self._long.pop(taker, None)

    def has_gone(self, taker: Hashable) -> None:
        """It fetches no more."""
        self.give_back(taker)
        if not self._short and self._long:
            next(iter(self._long.values()))()

    def _hurry_all(self) -> None:
        for hurry in tuple(self._long.values()):
            hurry()
