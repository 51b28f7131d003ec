"""How long the responses to the fetches from one leader may be, so that all of them together have a bound."""

from __future__ import annotations

MAX_LONG_RESPONSES = 2
"""Fetches from a leader that may have responses of the full length at the same time."""


class ResponseShares:
    """Divides the bytes of a response among several fetches.

    A single fetch may use all of them. Several get equal shares, and some of those that need more than their share get
    all: whoever is not among them still makes progress.

    Args:
        max_bytes: of a response.
        smallest: share that every fetch gets.

    Attributes:
        fetches: how many there are.
    """

    def __init__(self, max_bytes: int, smallest: int) -> None:
        self._max_bytes = max_bytes
        self._smallest = min(smallest, max_bytes)
        self._long: set[object] = set()
        self.fetches = 0

    def take(self, taker: object, *, wants_more: bool) -> int:
        """The most bytes of the next response; :meth:`give_back` when it was taken in.

        Args:
            taker: who fetches.
            wants_more: whether its last response was as long as it could be, about.
        """
        if self.fetches <= 1:
            return self._max_bytes
        if wants_more and len(self._long) < MAX_LONG_RESPONSES:
            self._long.add(taker)
            return self._max_bytes
        return max(self._smallest, self._max_bytes // self.fetches)

    def give_back(self, taker: object) -> None:
        """Its response was taken in, or nobody waits for it; may be called again."""
        self._long.discard(taker)
