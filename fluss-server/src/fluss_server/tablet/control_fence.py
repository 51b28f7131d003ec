"""Refuses control requests that come too late."""

from __future__ import annotations

from fluss_server.cluster.messages import ControlStamp
from fluss_server.cluster.metadata_cache import MetadataCache
from fluss_server.errors import ErrorCode, FlussError


class ControlFence:
    """Decides whether a control request may have an effect.

    A coordinator that gets no response repeats a request, perhaps over another connection. The first one may arrive
    after it, or after later ones; an older coordinator may wake up; a request may be for the process that had this
    address before. None of these may change anything.

    Args:
        metadata: has the coordinator epoch.
        incarnation: of this process.
    """

    def __init__(self, metadata: MetadataCache, incarnation: str) -> None:
        self._metadata = metadata
        self._incarnation = incarnation
        self._newest: tuple[int, int] = -1, -1  # coordinator epoch and sequence

    def check(self, coordinator_epoch: int, stamp: ControlStamp | None) -> None:
        """Take in the epoch and the number of a request. Requests without number are checked by their epoch only.

        Raises:
            FlussError: ``SERVER_NOT_EXIST_EXCEPTION`` when it is for another process;
                ``INVALID_COORDINATOR_EXCEPTION`` when a newer coordinator was heard of;
                ``INVALID_UPDATE_VERSION_EXCEPTION`` after a newer request of the same coordinator.
        """
        if stamp is not None and stamp.incarnation != self._incarnation:
            raise FlussError(
                ErrorCode.SERVER_NOT_EXIST_EXCEPTION,
                "the request is for a process that had the address of this tablet server before",
            )
        self._metadata.check_epoch(coordinator_epoch)
        if stamp is None:
            return
        number = coordinator_epoch, stamp.sequence
        if number < self._newest:
            raise FlussError(
                ErrorCode.INVALID_UPDATE_VERSION_EXCEPTION,
                f"control request {stamp.sequence} comes after {self._newest[1]} of the same coordinator",
            )
        self._newest = number
