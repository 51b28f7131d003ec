"""A scan of everything in a KvTablet, as of one offset, in pieces."""

from __future__ import annotations

from collections.abc import Callable

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.kv.rocks import StoreSnapshot
from fluss_server.runtime import Lock

_MAX_STEP_ROWS = 100_000
_ROWS_BETWEEN_CHECKS = 1_000  # whether the scan was cancelled


class KvScan:
    """All committed rows as of :attr:`log_offset`, in key order; later commits do not change what it returns.

    An open scan keeps the memtables and files of its state, so scans must not be left idle for long. Calls may come
    from any thread: :meth:`close` ends a :meth:`next` that is running, within about a millisecond.

    Args:
        snapshot: of the committed rows.
        log_offset: changelog offset after the last change that the snapshot contains: reading the changelog from
            there continues it.
        on_close: called once, when the scan is closed.
        lock: its own.
    """

    def __init__(
        self, snapshot: StoreSnapshot, log_offset: int, on_close: Callable[[KvScan], None], lock: Lock
    ) -> None:
        self.log_offset = log_offset
        self._snapshot: StoreSnapshot | None = snapshot
        self._on_close = on_close
        self._start = b""
        self._exhausted = False
        self._closed = False
        self._lock = lock  # held while the snapshot is read or released

    @property
    def exhausted(self) -> bool:
        """Whether the last row was returned."""
        return self._exhausted

    def next(self, max_bytes: int, max_rows: int | None = None) -> list[bytes]:
        """The next values (schema id and row); at least one unless the scan is exhausted or ``max_rows`` is 0.

        Args:
            max_bytes: bytes of values after which no further row is taken.
            max_rows: most rows, None = as many as ``max_bytes`` allows; a call never returns more than 100 000.

        Raises:
            FlussError: ``SCANNER_EXPIRED`` after :meth:`close`; ``KV_STORAGE_EXCEPTION``.
        """
        values: list[bytes] = []
        limit = _MAX_STEP_ROWS if max_rows is None else min(max_rows, _MAX_STEP_ROWS)
        size = 0
        with self._lock:
            self._check_open()
            assert self._snapshot is not None, "close sets both"
            if self._exhausted:
                return values
            for key, value in self._snapshot.rows(self._start):
                if len(values) >= limit or (values and size + len(value) > max_bytes):
                    self._start = key
                    return values
                values.append(value)
                size += len(value)
                if len(values) % _ROWS_BETWEEN_CHECKS == 0:
                    self._check_open()
            self._exhausted = True
        return values

    def _check_open(self) -> None:
        if self._closed:
            raise FlussError(ErrorCode.SCANNER_EXPIRED, "the scan is closed", hint="start a new scan")

    def cancel(self) -> None:
        """Let a :meth:`next` that is running or will be called end with ``SCANNER_EXPIRED``. Does not wait."""
        self._closed = True

    def close(self) -> None:
        """Let the snapshot go, after ending a step that is running; may be called again."""
        self.cancel()
        with self._lock:
            if self._snapshot is not None:
                self._snapshot.release()
                self._snapshot = None
                self._on_close(self)
