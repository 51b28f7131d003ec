"""Memory of long requests, used again: fresh memory costs a page fault for every few kilobytes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Block = npt.NDArray[np.uint8]

LIMIT_BYTES = 16 << 20
"""What is kept at most, used or not."""

MAX_BLOCK_BYTES = 4 << 20
"""Longer requests get memory of their own, which goes back to the system."""

_STEP_BYTES = 256 << 10
_REFERENCES_OF_UNUSED = 3  # the list, a variable, and the argument of getrefcount


class FrameMemory:
    """Blocks of memory for requests. One thread.

    What :meth:`take` returns belongs to the caller for as long as anything refers to it, a slice or an array of its
    bytes for example; afterwards it is given to the next request. Python's reference counts tell.
    """

    def __init__(self) -> None:
        self._blocks: list[Block] = []
        self._kept_bytes = 0

    def take(self, length: int) -> memoryview:
        """``length`` writable bytes of unknown content."""
        import numpy as np  # not needed before the first long request

        if length > MAX_BLOCK_BYTES:
            return _view(np.empty(length, np.uint8), length)
        for block in self._blocks:
            if length <= len(block) and sys.getrefcount(block) == _REFERENCES_OF_UNUSED:
                return _view(block, length)
        size = -(-length // _STEP_BYTES) * _STEP_BYTES
        block = np.empty(size, np.uint8)
        self._drop_unused(size)
        if self._kept_bytes + size <= LIMIT_BYTES:
            self._blocks.append(block)
            self._kept_bytes += size
        return _view(block, length)

    def _drop_unused(self, size: int) -> None:
        """Free ``size`` more bytes, if blocks that are too short for them can be spared."""
        for index in reversed(range(len(self._blocks))):
            if self._kept_bytes + size <= LIMIT_BYTES:
                return
            block = self._blocks[index]
            if sys.getrefcount(block) == _REFERENCES_OF_UNUSED:
                del self._blocks[index]
                self._kept_bytes -= len(block)


def _view(block: Any, length: int) -> memoryview:
    return memoryview(block)[:length]
