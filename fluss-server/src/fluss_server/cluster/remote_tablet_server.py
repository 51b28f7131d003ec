"""A tablet server, as a coordinator in another process sees it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fluss_server.api.keys import ApiKey
from fluss_server.cluster import control_codecs as codecs
from fluss_server.cluster import settings_update
from fluss_server.cluster.messages import (
    BucketResult,
    NotifyLeaderAndIsr,
    NotifyLeaderAndIsrResponse,
    StopReplicas,
    StopReplicasResponse,
    UpdateMetadata,
)
from fluss_server.cluster.peer import PeerConnection
from fluss_server.cluster.settings_update import UpdateSettings, encoded_parts
from fluss_server.cluster.update_parts import MAX_PART_BYTES, cut
from fluss_server.errors import ErrorCode, FlussError

MAX_BUCKETS = 1_000
"""Buckets in one NOTIFY_LEADER_AND_ISR or STOP_REPLICA; encoding or decoding them takes about 10 ms."""

_UNKNOWN_OUTCOME = frozenset({ErrorCode.NETWORK_EXCEPTION, ErrorCode.REQUEST_TIME_OUT})


class RemoteTabletServer:
    """A ``TabletServerGateway`` over the native protocol. Long requests are sent in several, one after the other.

    Args:
        connection: to the internal listener of the tablet server.
        max_part_bytes: about the longest UPDATE_METADATA.
        max_settings_bytes: about the longest UPDATE_SETTINGS.
    """

    def __init__(
        self,
        connection: PeerConnection,
        *,
        max_part_bytes: int = MAX_PART_BYTES,
        max_settings_bytes: int = settings_update.MAX_PART_BYTES,
    ) -> None:
        self._connection = connection
        self._max_part_bytes = max_part_bytes
        self._max_settings_bytes = max_settings_bytes
        self._update: UpdateMetadata | None = None  # that has not arrived completely
        self._remaining: list[UpdateMetadata] = []  # of it, to be sent
        self._settings: UpdateSettings | None = None  # the same of settings
        self._settings_parts: Iterator[Any] = iter(())
        self._settings_part: Any = None  # to be sent next

    async def close(self) -> None:
        """Close the connection; calls in flight fail."""
        await self._connection.close()

    async def notify_leader_and_isr(self, request: NotifyLeaderAndIsr) -> NotifyLeaderAndIsrResponse:
        results: list[BucketResult] = []
        for first in range(0, max(len(request.buckets), 1), MAX_BUCKETS):
            buckets = request.buckets[first : first + MAX_BUCKETS]
            message = codecs.encode_notify_leader_and_isr(request._replace(buckets=buckets))
            response = await self._connection.call(ApiKey.NOTIFY_LEADER_AND_ISR, message)
            results += codecs.decode_notify_leader_and_isr_response(response).buckets
        return NotifyLeaderAndIsrResponse(tuple(results))

    async def update_metadata(self, request: UpdateMetadata) -> None:
        """See ``TabletServerGateway``. A long update is sent in parts; a repetition begins with the one that failed."""
        if request is not self._update and request != self._update:
            self._update, self._remaining = request, cut(request, self._max_part_bytes)
        while self._remaining:
            try:
                message = codecs.encode_update_metadata(self._remaining[0])
                await self._connection.call(ApiKey.UPDATE_METADATA, message)
            except FlussError as error:
                if error.code not in _UNKNOWN_OUTCOME:
                    self._update = None  # the server may have lost the parts before
                raise
            del self._remaining[0]
        self._update = None

    async def update_settings(self, request: UpdateSettings) -> None:
        """See ``TabletServerGateway``. A long update is sent in parts; a repetition begins with the one that failed."""
        if request is not self._settings:
            self._settings, self._settings_parts = request, encoded_parts(request, self._max_settings_bytes)
            self._settings_part = next(self._settings_parts)
        while self._settings_part is not None:
            try:
                await self._connection.call(ApiKey.UPDATE_SETTINGS, self._settings_part)
            except FlussError as error:
                if error.code not in _UNKNOWN_OUTCOME:
                    self._settings = None  # the server may have lost the parts before
                raise
            self._settings_part = next(self._settings_parts, None)
        self._settings, self._settings_parts = None, iter(())

    async def stop_replicas(self, request: StopReplicas) -> StopReplicasResponse:
        results: list[BucketResult] = []
        for first in range(0, max(len(request.replicas), 1), MAX_BUCKETS):
            replicas = request.replicas[first : first + MAX_BUCKETS]
            message = codecs.encode_stop_replicas(request._replace(replicas=replicas))
            response = await self._connection.call(ApiKey.STOP_REPLICA, message)
            results += codecs.decode_stop_replicas_response(response).replicas
        return StopReplicasResponse(tuple(results))
