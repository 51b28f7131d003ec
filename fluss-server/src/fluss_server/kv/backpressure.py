"""Slowing writers down before RocksDB has to stop them; no I/O.

Every flushed memtable is a file on level 0 until a compaction takes it in. RocksDB slows its writers down at 20 such
files and stops them at 36; both would happen in the one thread that serves all primary-key tables. So writers are told:
from a number of files on, responses carry a *pressure* for which clients pause (up to 3 s), and at the first limit of
RocksDB writes are refused with a code that clients repeat.
"""

from __future__ import annotations

from fluss_server.errors import ErrorCode, FlussError

SLOWDOWN_FILES = 20
"""Files on level 0 at which RocksDB slows its writers down: its default."""

PRESSURE_AFTER_REFUSAL = 0.8
"""Least pressure from a refused write to the next one that is let in."""

MAX_PRESSURE = 0.999


def pressure_of(level0_files: int, trigger: int) -> float:
    """Pressure in [0, 1): 0 up to ``trigger`` files, then in proportion up to :data:`SLOWDOWN_FILES`.

    Args:
        trigger: at :data:`SLOWDOWN_FILES` or above there is no pressure, only refusals.
    """
    if level0_files <= trigger or trigger >= SLOWDOWN_FILES:
        return 0.0
    return min((level0_files - trigger) / (SLOWDOWN_FILES - trigger), MAX_PRESSURE)


class Backpressure:
    """The state of one store.

    Args:
        trigger: files on level 0 above which there is pressure (``kv.backpressure.l0-slowdown-trigger``).

    Attributes:
        level0_files: as last seen.
        rejections: writes refused so far.
    """

    __slots__ = ("_refused", "_trigger", "level0_files", "rejections")

    def __init__(self, trigger: int) -> None:
        self._trigger = trigger
        self._refused = False
        self.level0_files = 0
        self.rejections = 0

    @property
    def pressure(self) -> float:
        """In [0, 1)."""
        pressure = pressure_of(self.level0_files, self._trigger)
        return max(pressure, PRESSURE_AFTER_REFUSAL) if self._refused else pressure

    def admit(self, unflushed_files: int) -> None:
        """Let a write in.

        Args:
            unflushed_files: files that what is not flushed yet will become.

        Raises:
            FlussError: ``STORAGE_BACKPRESSURE_EXCEPTION``.
        """
        if self.level0_files + unflushed_files >= SLOWDOWN_FILES:
            raise self.refusal(f"{self.level0_files} files wait for compaction")
        self._refused = False

    def refusal(self, reason: str) -> FlussError:
        """The error for a write that is not let in; counts it."""
        self._refused = True
        self.rejections += 1
        return FlussError(
            ErrorCode.STORAGE_BACKPRESSURE_EXCEPTION,
            f"the store cannot take more now: {reason}",
            hint="the same batch may be sent again later",
        )
