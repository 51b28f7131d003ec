"""What happened in a simulated run, as a hash that two equal runs share and a tail that people read."""

from __future__ import annotations

import hashlib
from collections import deque

_TAIL = 500


class Trace:
    """An ordered record of a run.

    Attributes:
        count: entries so far.
    """

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self._tail: deque[str] = deque(maxlen=_TAIL)
        self.count = 0

    def add(self, time_s: float, source: str, what: str, detail: bytes = b"") -> None:
        """Record one step.

        Args:
            time_s: virtual time.
            source: process or connection.
            what: the step, without anything that differs from run to run (addresses of objects, real time).
            detail: bytes that belong to it; only their hash is kept.
        """
        line = f"{time_s:.6f} {source} {what}"
        self._hash.update(line.encode() + b"\0" + len(detail).to_bytes(4, "little"))
        self._hash.update(detail)
        self._tail.append(line)
        self.count += 1

    def digest(self) -> str:
        """Hash of everything so far, in hexadecimal."""
        return self._hash.hexdigest()

    def tail(self, count: int = _TAIL) -> list[str]:
        """The last steps, oldest first."""
        return list(self._tail)[-count:]
