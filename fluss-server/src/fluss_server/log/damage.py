"""Errors of acknowledged batches that are damaged on the disk."""

from __future__ import annotations

import logging
from pathlib import PurePath

from fluss_server.errors import ErrorCode, FlussError

logger = logging.getLogger(__name__)

UNKNOWN_OFFSET = -1

_HINT = (
    "acknowledged rows are affected: restore the file from a copy while the server is stopped, or go on reading at a"
    " later offset; `fluss doctor` shows what is damaged"
)


class BatchDamagedError(FlussError):
    """``CORRUPT_MESSAGE``: a batch in a ``.log`` file is not what was written.

    Not ``LOG_STORAGE_EXCEPTION``, which clients repeat silently and without end.

    Attributes:
        segment_base: base offset of the segment.
        position: of the batch, or of where one should be.
        offset: of the batch; :data:`UNKNOWN_OFFSET` if it is not known.
        reason: what is wrong.
    """

    def __init__(self, path: PurePath, segment_base: int, position: int, offset: int, reason: str) -> None:
        where = f"position {position}" if offset == UNKNOWN_OFFSET else f"offset {offset}, position {position}"
        super().__init__(ErrorCode.CORRUPT_MESSAGE, f"{path} is damaged at {where}: {reason}", hint=_HINT)
        self.segment_base = segment_base
        self.position = position
        self.offset = offset
        self.reason = reason


class UncheckedError(Exception):
    """A read needs more than memory and a few kilobytes: batches to be checked first, or an index to be rebuilt."""


class DamageRegister:
    """The damage that was found in one log: at most one batch for each segment, the one found last."""

    def __init__(self) -> None:
        self._found: dict[int, BatchDamagedError] = {}
        self.count = 0
        """How often other damage was found than was known."""

    @property
    def present(self) -> list[BatchDamagedError]:
        """What is known, in the order of the segments."""
        return [error for _, error in sorted(self._found.items())]

    def of(self, segment_base: int) -> BatchDamagedError | None:
        """What is known of a segment."""
        return self._found.get(segment_base)

    def found(self, damage: BatchDamagedError) -> None:
        """Take note of damage, and report it in the log of the server unless it is known."""
        known = self._found.get(damage.segment_base)
        if known is None or known.position != damage.position:
            self._found[damage.segment_base] = damage
            self.count += 1
            logger.error("%s", damage.message)

    def repaired(self, segment_base: int) -> None:
        """The segment was found undamaged."""
        if self._found.pop(segment_base, None) is not None:
            logger.warning("the segment that begins with offset %d is not damaged any more", segment_base)

    def forget_below(self, start: int) -> None:
        """The log begins at offset ``start`` from now on."""
        for base in [base for base in self._found if base < start]:
            self._found.pop(base, None)

    def forget_from(self, end: int) -> None:
        """The segments that begin at offset ``end`` or later are truncated or deleted."""
        for base in [base for base in self._found if base >= end]:
            self._found.pop(base, None)
