"""How many failed authentications there may be, per address and per user.

After a few failures every further one makes the next attempt wait, twice as long each time. Failures are counted for
the user at its address, for the address, and for the user. A user that has authenticated from an address before waits
there for its own failures only: neither another client of the same address nor an attacker elsewhere locks it out.
"""

from __future__ import annotations

import ipaddress
import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

logger = logging.getLogger(__name__)

MAX_ENTRIES = 10_000
"""Users, addresses and pairs that are remembered; the ones that were used least recently are forgotten."""

FORGET_AFTER_S = 300.0
"""Failures count until there was none for this long."""

LOG_LINES = 20
LOG_WINDOW_S = 60.0
"""At most so many failures are logged per so many seconds; the others are counted."""

_Key = TypeVar("_Key", bound=Hashable)


@dataclass(slots=True)
class _Failures:
    count: int = 0
    last: float = 0.0
    blocked_until: float = 0.0


class _FailureTable(Generic[_Key]):
    """Failures by key.

    Args:
        free: failures without consequence.
        longest_s: longest time to the next attempt.
    """

    def __init__(self, free: int, longest_s: float) -> None:
        self._free = free
        self._longest_s = longest_s
        self._entries: OrderedDict[_Key, _Failures] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def wait_s(self, key: _Key, now: float) -> float:
        entry = self._entries.get(key)
        return 0.0 if entry is None else max(entry.blocked_until - now, 0.0)

    def failed(self, key: _Key, now: float) -> None:
        entry = self._entries.pop(key, None)
        if entry is None or now - entry.last > FORGET_AFTER_S:
            entry = _Failures()
        entry.count += 1
        entry.last = now
        if entry.count > self._free:
            entry.blocked_until = now + min(2.0 ** min(entry.count - self._free - 1, 30), self._longest_s)
        self._entries[key] = entry
        if len(self._entries) > MAX_ENTRIES:
            self._entries.popitem(last=False)

    def forget(self, key: _Key) -> None:
        self._entries.pop(key, None)


class AuthenticationThrottle:
    """Counts failures, says who has to wait, and logs failures within bounds. One for all listeners of a server.

    Args:
        monotonic: seconds of a clock.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._pairs: _FailureTable[tuple[str, str]] = _FailureTable(free=5, longest_s=60.0)
        self._addresses: _FailureTable[str] = _FailureTable(free=20, longest_s=60.0)
        self._users: _FailureTable[str] = _FailureTable(free=20, longest_s=10.0)
        self._authenticated: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._window_end = 0.0
        self._lines = 0

    def wait_s(self, user: str, address: str) -> float:
        """Seconds until this user may try again from this address; 0 = now."""
        now = self._monotonic()
        address = network_of(address)
        waits = self._pairs.wait_s((user, address), now)
        if (user, address) in self._authenticated:
            return waits
        return max(waits, self._addresses.wait_s(address, now), self._users.wait_s(user, now))

    def failed(self, user: str, address: str) -> None:
        """An attempt failed."""
        now = self._monotonic()
        address = network_of(address)
        self._pairs.failed((user, address), now)
        self._addresses.failed(address, now)
        self._users.failed(user, now)

    def succeeded(self, user: str, address: str) -> None:
        """An attempt succeeded."""
        pair = user, network_of(address)
        self._pairs.forget(pair)
        self._authenticated[pair] = None
        self._authenticated.move_to_end(pair)
        if len(self._authenticated) > MAX_ENTRIES:
            self._authenticated.popitem(last=False)

    def log(self, address: str, problem: object) -> None:
        """Report a failed attempt, unless there were too many."""
        now = self._monotonic()
        if now >= self._window_end:
            if self._lines > LOG_LINES:
                logger.warning("%d more authentications failed", self._lines - LOG_LINES)
            self._window_end = now + LOG_WINDOW_S
            self._lines = 0
        self._lines += 1
        if self._lines <= LOG_LINES:
            logger.warning(
                "an authentication from %s failed: %s",
                address,
                problem,
                extra={"event": "authentication_failed", "address": address},
            )


def network_of(address: str) -> str:
    """What counts as one address: an IPv4 address, and of IPv6 the /64 network that one client usually has."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.IPv6Network((parsed, 64), strict=False).network_address)
    return str(parsed)
