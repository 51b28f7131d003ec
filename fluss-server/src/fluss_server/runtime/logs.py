"""How a server writes its log: as text for people, or one JSON object a line for machines.

A JSON line has

* ``time`` (RFC 3339, UTC, milliseconds), ``level``, ``logger`` and ``message``;
* ``event``, a name that does not change, and fields of its own, where the place that logs has given them: ``api``,
  ``request_id``, ``peer``, ``principal``, ``listener``, ``elapsed_ms``;
* ``exception``, a traceback.

Neither format contains passwords, rows or keys: those who log give names, numbers and codes.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections import Counter
from typing import IO

TEXT_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
FIELDS = ("event", "api", "request_id", "peer", "principal", "listener", "elapsed_ms")
"""Extra attributes of a log record that a JSON line shows."""

BURST = 50
WINDOW_S = 10.0


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for field in FIELDS:
            value = getattr(record, field, None)
            if value is not None:
                entry[field] = value
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


class FloodFilter(logging.Filter):
    """Lets at most :data:`BURST` records of the same place through in :data:`WINDOW_S` seconds.

    Clients decide how often some things happen; they must not be able to fill the disk with them. The next record of
    that place tells how many were left out.
    """

    def __init__(self) -> None:
        super().__init__()
        self._window = 0.0
        self._seen: Counter[tuple[str, str]] = Counter()
        self._left_out: Counter[tuple[str, str]] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        place = (record.name, str(record.msg))
        if record.created - self._window >= WINDOW_S or record.created < self._window:
            self._window = record.created
            self._seen.clear()
            if len(self._left_out) > 1_000:
                self._left_out.clear()
        self._seen[place] += 1
        if self._seen[place] > BURST:
            self._left_out[place] += 1
            return False
        left_out = self._left_out.pop(place, 0)
        if left_out:
            record.msg = f"{record.getMessage()} [{left_out} more like this were left out]"
            record.args = ()
        return True


def configure_logs(level: str, style: str, stream: IO[str] | None = None) -> None:
    """Write the records of all loggers to a stream.

    Args:
        level: least severe level, in lower case.
        style: ``text`` or ``json``.
        stream: None = standard error.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else logging.Formatter(TEXT_FORMAT))
    handler.addFilter(FloodFilter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
