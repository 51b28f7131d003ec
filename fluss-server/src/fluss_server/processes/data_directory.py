"""The data directory of a server process, which no other process may use meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import PurePath

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.runtime.runtime import Runtime

logger = logging.getLogger(__name__)


def lock_data_directory(path: PurePath, runtime: Runtime) -> Callable[[], object]:
    """Create the directory if it is missing, and lock it.

    Returns:
        what releases the lock.

    Raises:
        FlussError: ``STORAGE_EXCEPTION`` when another process uses it, or it cannot be used.
    """
    disk = runtime.disk
    lock = disk.lock(path)
    try:
        disk.make_directories(path, mode=0o700)
        if disk.status(path).permissions & 0o077:
            logger.warning(
                "other users of this machine can enter the data directory %s; its content is theirs to read unless"
                " you take their permissions away (chmod 700)",
                path,
            )
        locked = lock.acquire()
    except OSError as error:
        raise FlussError(ErrorCode.STORAGE_EXCEPTION, f"cannot use the data directory {path}: {error}") from error
    if not locked:
        raise FlussError(
            ErrorCode.STORAGE_EXCEPTION,
            f"another process uses the data directory {path}",
            hint="stop it, or choose another directory with --data-dir",
        )
    return lock.release
