"""Errors of a full disk, which clients repeat and which need no restart."""

from __future__ import annotations

import errno

from fluss_server.errors import ErrorCode, FlussError


def disk_full(message: str) -> FlussError:
    """``DISK_WRITE_LOCKED``: the disk is full."""
    return FlussError(
        ErrorCode.DISK_WRITE_LOCKED,
        message,
        hint="free disk space: the bucket then goes on by itself, and the same rows can be written again",
    )


def disk_full_or(code: ErrorCode, message: str, error: OSError) -> FlussError:
    """``DISK_WRITE_LOCKED`` if ``error`` comes from a full disk, else an error with ``code``."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return disk_full(f"{message}: {error}")
    return FlussError(code, f"{message}: {error}")
