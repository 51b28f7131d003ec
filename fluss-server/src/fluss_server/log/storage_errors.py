"""Errors of the files of a log, as clients get them."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.log.log_segment import IndexDamagedError


@contextlib.contextmanager
def storage_errors(action: str) -> Iterator[None]:
    """Turn errors of the files into ``LOG_STORAGE_EXCEPTION``."""
    try:
        yield
    except FlussError as error:
        if error.code is not ErrorCode.CORRUPT_RECORD_EXCEPTION:
            raise
        raise FlussError(
            ErrorCode.LOG_STORAGE_EXCEPTION,
            f"{action}: {error.message}",
            hint="acknowledged batches are damaged; restore the file from a copy",
        ) from error
    except (OSError, IndexDamagedError) as error:
        raise storage_error(action, error) from error


def storage_error(action: str, error: Exception) -> FlussError:
    """The error of an action that has left the log usable."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        # Not LOG_STORAGE: clients repeat that silently and without end (docs/decisions/0004).
        return FlussError(
            ErrorCode.DISK_WRITE_LOCKED,
            f"{action}: the disk is full: {error}",
            hint="free disk space; nothing acknowledged is lost, and the same rows can be written again",
        )
    return FlussError(ErrorCode.LOG_STORAGE_EXCEPTION, f"{action}: {error}")


def storage_failure(action: str, error: Exception) -> FlussError:
    """The error of a log that refuses work from now on."""
    return FlussError(
        ErrorCode.STORAGE_EXCEPTION,
        f"{action}: {error}",
        hint="what is on the disk is unknown until the log is opened again; check the disk and restart the server",
    )
