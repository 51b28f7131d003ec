"""What a start has to know of the process before it: a small file in the data directory.

``server.state`` is ``{"version":1,"stopped":...,"durable":...}``:

* ``stopped``: the process ended in an orderly way, after everything in its logs was on the disk;
* ``durable``: if it did not, it reported nothing to others before that was on the disk.

A running process has ``stopped`` false in it, durably, before it registers, and so before its first append. Without
the file, or with one that cannot be read, nothing is known. What a process said of itself stays until a coordinator has
heard of it: a process that ends before it registered leaves to the next one what it had found.
"""

from __future__ import annotations

import json
import logging
from pathlib import PurePath
from typing import NamedTuple

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.runtime.disk import Disk

logger = logging.getLogger(__name__)

STATE_FILE = "server.state"


class LastStop(NamedTuple):
    """How the process before ended.

    Attributes:
        stopped: in an orderly way; its logs have everything that was in them.
        durable: its logs have everything that it reported to others.
    """

    stopped: bool = False
    durable: bool = False


class StopMarker:
    """:meth:`begin`, :meth:`registered`, :meth:`stopped`. All of them block for one small write.

    Args:
        directory: of the data.
        disk: the machine's.
        durable: whether this process reports only what is on the disk.
    """

    def __init__(self, directory: PurePath, disk: Disk, *, durable: bool) -> None:
        self._path = directory / STATE_FILE
        self._disk = disk
        self._durable = durable
        self._found = LastStop()
        self._written = LastStop()
        self._is_registered = False

    def begin(self) -> LastStop:
        """Read how the process before ended, and record that this one runs.

        Raises:
            FlussError: ``STORAGE_EXCEPTION`` when the record of an orderly stop cannot be removed.
        """
        self._found = self._written = self._read()
        self._put(LastStop(False, self._durable and (self._found.stopped or self._found.durable)))
        return self._found

    def registered(self) -> None:
        """A coordinator has heard how the process before ended: from now on only this process counts.

        Raises:
            FlussError: ``STORAGE_EXCEPTION``.
        """
        self._is_registered = True
        self._put(LastStop(False, self._durable))

    def stopped(self) -> None:
        """Everything in the logs is on the disk, and nothing is written any more.

        Raises:
            FlussError: ``STORAGE_EXCEPTION``; the next start then is one after a crash.
        """
        self._put(LastStop(True, True) if self._is_registered else self._found)

    def _read(self) -> LastStop:
        try:
            content = json.loads(self._disk.read_file(self._path))
            if content["version"] == 1:
                return LastStop(content["stopped"] is True, content["durable"] is True)
        except FileNotFoundError:
            return LastStop()
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("%s cannot be read, which counts as a crash: %s", self._path, error)
        return LastStop()

    def _put(self, state: LastStop) -> None:
        if state == self._written:
            return
        content = json.dumps({"version": 1, "stopped": state.stopped, "durable": state.durable}).encode()
        try:
            self._disk.replace_file(self._path, content)
        except OSError as error:
            self._forget(error)
            self._written = LastStop()
        else:
            self._written = state

    def _forget(self, cause: OSError) -> None:
        """Without the file nothing is claimed; a full disk lets it be removed."""
        logger.warning("%s cannot be written, so the next start is one after a crash: %s", self._path, cause)
        try:
            self._disk.remove(self._path, missing_ok=True)
            self._disk.sync_directory(self._path.parent)
        except OSError as error:
            raise FlussError(
                ErrorCode.STORAGE_EXCEPTION,
                f"{self._path} can neither be written nor removed: {error}",
                hint="check permissions and free space of the data directory",
            ) from error
