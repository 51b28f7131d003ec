"""The coordinator, as a tablet server in another process sees it."""

from __future__ import annotations

from fluss_server.api.keys import ApiKey
from fluss_server.cluster import server_codecs as codecs
from fluss_server.cluster.gateways import TabletServerGateway
from fluss_server.cluster.messages import (
    AdjustIsr,
    AdjustIsrResponse,
    ControlledShutdown,
    ControlledShutdownResponse,
    Heartbeat,
    Registered,
    RegisterServer,
    ReservedIds,
    ReserveIds,
    ReserveWriterIds,
    ResignLeaderships,
)
from fluss_server.cluster.peer import PeerConnection
from fluss_server.errors import ErrorCode, FlussError

HEARTBEAT_TIMEOUT_INTERVALS = 1.5
"""How long a heartbeat may take after one without response; less than the two intervals for which its sender waits."""


class RemoteCoordinator:
    """A ``CoordinatorGateway`` over the native protocol.

    The second heartbeat in a row without response ends the connection. A coordinator that hears this server, and is not
    heard by it, hears it no more then, because no other connection can be opened: it lets others lead, while this
    server has no lease. One heartbeat alone may have been slow, as on a busy machine, where connecting is slow, too.

    Args:
        connection: to the active coordinator, on its internal listener.
        heartbeat_interval_s: between two heartbeats.
    """

    def __init__(self, connection: PeerConnection, *, heartbeat_interval_s: float) -> None:
        self._connection = connection
        self._heartbeat_timeout_s = HEARTBEAT_TIMEOUT_INTERVALS * heartbeat_interval_s
        self._is_heard = True  # as far as is known of the present connection

    async def close(self) -> None:
        """Close the connection; calls in flight fail."""
        await self._connection.close()

    async def register(self, request: RegisterServer, server: TabletServerGateway) -> Registered:
        """See ``CoordinatorGateway``. Control requests come to the internal listener that the request names, so it must
        listen already; ``server`` is not used.
        """
        message = codecs.encode_register_server(request)
        try:
            return codecs.decode_registered(await self._connection.call(ApiKey.REGISTER_SERVER, message))
        except FlussError as error:
            if error.code is not ErrorCode.AUTHORIZATION_EXCEPTION:
                raise
            raise FlussError(
                error.code,
                f"the coordinator refuses this server: {error.message}",
                hint="the user of client.security.* must be one of super.users of the coordinator",
            ) from error

    async def heartbeat(self, request: Heartbeat) -> Registered:
        message = codecs.encode_heartbeat(request)
        limit_s = None if self._is_heard else self._heartbeat_timeout_s
        self._is_heard = False  # so it stays when the sender does not wait any more
        try:
            response = await self._connection.call(ApiKey.SERVER_HEARTBEAT, message, timeout_s=limit_s)
        except FlussError:  # of the coordinator, or that connection has ended
            self._is_heard = True
            raise
        self._is_heard = True
        return codecs.decode_heartbeat_response(response)

    async def controlled_shutdown(self, request: ControlledShutdown) -> ControlledShutdownResponse:
        message = codecs.encode_controlled_shutdown(request)
        return codecs.decode_controlled_shutdown_response(
            await self._connection.call(ApiKey.CONTROLLED_SHUTDOWN, message)
        )

    async def adjust_isr(self, request: AdjustIsr) -> AdjustIsrResponse:
        message = codecs.encode_adjust_isr(request)
        return codecs.decode_adjust_isr_response(await self._connection.call(ApiKey.ADJUST_ISR, message))

    async def resign_leaderships(self, request: ResignLeaderships) -> None:
        await self._connection.call(ApiKey.RESIGN_LEADERSHIPS, codecs.encode_resign_leaderships(request))

    async def reserve_ids(self, request: ReserveIds) -> ReservedIds:
        message = codecs.encode_reserve_ids(request)
        return codecs.decode_reserved_ids(await self._connection.call(ApiKey.RESERVE_IDS, message))

    async def reserve_writer_ids(self, request: ReserveWriterIds) -> ReservedIds:
        message = codecs.encode_reserve_writer_ids(request)
        return codecs.decode_reserved_writer_ids(await self._connection.call(ApiKey.RESERVE_WRITER_IDS, message))
