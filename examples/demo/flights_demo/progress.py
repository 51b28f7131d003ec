"""One line that says how far the streaming jobs are."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping

_PLAIN_INTERVAL_SECONDS = 2.0


class Progress:
    """Shows row counts with rates: rewritten in place on a terminal, a line every two seconds elsewhere."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._started = time.monotonic()
        self._printed = 0.0
        self._finished_at: dict[str, float] = {}
        self._in_place = sys.stdout.isatty()

    def show(self, counts: Mapping[str, int], note: str, *, last: bool = False) -> None:
        """Shows the rows so far, of `total`, by name; the rate of each is up to now or to when it was complete."""
        now = time.monotonic()
        for name, count in counts.items():
            if count >= self._total:
                self._finished_at.setdefault(name, now)
        if not (self._in_place or last) and now - self._printed < _PLAIN_INTERVAL_SECONDS:
            return
        self._printed = now
        parts = []
        for name, count in counts.items():
            seconds = max(self._finished_at.get(name, now) - self._started, 0.001)
            parts.append(f"{name} {count:>7,} {100 * count // self._total:>3} % ({count / seconds:,.0f}/s)")
        line = f"  {now - self._started:5.1f} s  {' · '.join(parts)} · {note}"
        if self._in_place:
            print(f"\r\x1b[K{line}", end="\n" if last else "", flush=True)
        else:
            print(line, flush=True)
