"""Directories for tests that sync a lot and lose no power: in memory, where a sync costs nothing."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

_MEMORY = "/dev/shm"
_ENOUGH_BYTES = 1 << 30  # containers often have 64 MB


def scratch_directory() -> Path:
    """A new directory, in memory if there is enough; the caller removes it."""
    return Path(tempfile.mkdtemp(prefix="fluss-", dir=_MEMORY if _is_usable(_MEMORY) else None))


def _is_usable(directory: str) -> bool:
    if not os.access(directory, os.W_OK):
        return False
    about = os.statvfs(directory)
    return about.f_bavail * about.f_frsize >= _ENOUGH_BYTES
