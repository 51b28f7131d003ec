"""The data directory of ``fluss local``: of one process, or of a coordinator and several tablet servers.

One process keeps its metadata and tables in the directory itself, see ``local.py``. Several processes have::

    .lock                     held while they run
    coordinator/              databases, tables, ids, leaders
    server-0/, server-1/ ...  tables, one directory for each tablet server

Neither can read what the other has written, so each refuses it.
"""

from __future__ import annotations

import re
from pathlib import PurePath

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.journal_file import JOURNAL_FILE
from fluss_server.runtime.disk import Disk

_COORDINATOR = "coordinator"
_SERVER = re.compile(r"server-(\d+)")


def coordinator_directory(data_dir: PurePath) -> PurePath:
    """Of the coordinator beside several tablet servers."""
    return data_dir / _COORDINATOR


def server_directory(data_dir: PurePath, server_id: int) -> PurePath:
    """Of one of several tablet servers."""
    return data_dir / f"server-{server_id}"


def refuse_several_servers(data_dir: PurePath, disk: Disk) -> None:
    """Check that one process may use the directory.

    Raises:
        FlussError: ``STORAGE_EXCEPTION`` when several tablet servers have used it.
    """
    # A table directory has no such file, so it is not a database with the name of the directory.
    if disk.exists(coordinator_directory(data_dir) / JOURNAL_FILE):
        raise FlussError(
            ErrorCode.STORAGE_EXCEPTION,
            f"the data directory {data_dir} has the data of several tablet servers",
            hint=f"start with --tablet-servers {max(_server_ids(data_dir, disk), default=0) + 1}, or choose another"
            " directory with --data-dir",
        )


def check_several_servers(data_dir: PurePath, tablet_servers: int, disk: Disk) -> None:
    """Check that so many tablet servers may use the directory; there may be more of them than before.

    Raises:
        FlussError: ``STORAGE_EXCEPTION`` when one process has used it, or more tablet servers have.
    """
    if disk.exists(data_dir / JOURNAL_FILE):
        raise FlussError(
            ErrorCode.STORAGE_EXCEPTION,
            f"the data directory {data_dir} has the data of fluss local in one process",
            hint="start without --tablet-servers, or choose another directory with --data-dir",
        )
    known = max(_server_ids(data_dir, disk), default=-1) + 1
    if known > tablet_servers:
        raise FlussError(
            ErrorCode.STORAGE_EXCEPTION,
            f"the data directory {data_dir} has the data of {known} tablet servers, not of {tablet_servers}",
            hint=f"start with --tablet-servers {known}: what only the others have would be missing",
        )


def _server_ids(data_dir: PurePath, disk: Disk) -> list[int]:
    if not disk.exists(data_dir):
        return []
    return [int(match[1]) for name in disk.list(data_dir) if (match := _SERVER.fullmatch(name)) is not None]
