"""What tablet servers in other processes request from the coordinator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from fluss_server.api.keys import ApiKey
from fluss_server.api.own_messages import message_class
from fluss_server.cluster import server_codecs as codecs
from fluss_server.cluster.gateways import CoordinatorGateway
from fluss_server.cluster.messages import RegisterServer
from fluss_server.cluster.remote_tablet_server import RemoteTabletServer
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.rpc.service import RequestContext, ResponseBody, rpc

_Known: TypeAlias = tuple[RegisterServer, RemoteTabletServer]


class ServerCalls:
    """Registration, heartbeats, ADJUST_ISR, RESIGN_LEADERSHIPS, CONTROLLED_SHUTDOWN and reservation of ids.

    Args:
        coordinator: this coordinator.
        reach: makes the way to a tablet server; ``INVALID_CONFIG_EXCEPTION`` when it has no internal listener.
    """

    def __init__(self, coordinator: CoordinatorGateway, reach: Callable[[RegisterServer], RemoteTabletServer]) -> None:
        self._coordinator = coordinator
        self._reach = reach
        self._servers: dict[int, _Known] = {}

    async def close(self) -> None:
        """Close the connections to tablet servers."""
        servers, self._servers = self._servers, {}
        for _, server in servers.values():
            await server.close()

    @rpc(ApiKey.REGISTER_SERVER)
    async def register_server(self, request: Any, context: RequestContext) -> ResponseBody:
        registration = codecs.decode_register_server(request)
        server_id = registration.server.server_id
        known = self._servers.get(server_id)
        if known is not None and _same_process(known[0], registration):
            server, unused = known[1], None  # control requests may be under way to it
        else:
            server, unused = self._reach(registration), None if known is None else known[1]
            # Before the end of the registration: a repetition of it must find the same way.
            self._servers[server_id] = registration, server
        try:
            registered = await self._coordinator.register(registration, server)
        except FlussError as error:
            if error.code is ErrorCode.INVALID_CONFIG_EXCEPTION and (known is None or server is not known[1]):
                unused = server  # it was refused: the member is whoever it was before
                if known is None:
                    del self._servers[server_id]
                else:
                    self._servers[server_id] = known
            raise
        finally:
            if unused is not None:
                await unused.close()
        return codecs.encode_registered(registered)  # type: ignore[no-any-return]

    @rpc(ApiKey.SERVER_HEARTBEAT)
    async def server_heartbeat(self, request: Any, context: RequestContext) -> ResponseBody:
        registered = await self._coordinator.heartbeat(codecs.decode_heartbeat(request))
        return codecs.encode_heartbeat_response(registered)  # type: ignore[no-any-return]

    @rpc(ApiKey.CONTROLLED_SHUTDOWN)
    async def controlled_shutdown(self, request: Any, context: RequestContext) -> ResponseBody:
        response = await self._coordinator.controlled_shutdown(codecs.decode_controlled_shutdown(request))
        return codecs.encode_controlled_shutdown_response(response)

    @rpc(ApiKey.ADJUST_ISR)
    async def adjust_isr(self, request: Any, context: RequestContext) -> ResponseBody:
        return codecs.encode_adjust_isr_response(await self._coordinator.adjust_isr(codecs.decode_adjust_isr(request)))

    @rpc(ApiKey.RESIGN_LEADERSHIPS)
    async def resign_leaderships(self, request: Any, context: RequestContext) -> ResponseBody:
        await self._coordinator.resign_leaderships(codecs.decode_resign_leaderships(request))
        return message_class("ResignLeadershipsResponse")()  # type: ignore[no-any-return]

    @rpc(ApiKey.RESERVE_IDS)
    async def reserve_ids(self, request: Any, context: RequestContext) -> ResponseBody:
        reserved = await self._coordinator.reserve_ids(codecs.decode_reserve_ids(request))
        return codecs.encode_reserved_ids(reserved)  # type: ignore[no-any-return]

    @rpc(ApiKey.RESERVE_WRITER_IDS)
    async def reserve_writer_ids(self, request: Any, context: RequestContext) -> ResponseBody:
        reserved = await self._coordinator.reserve_writer_ids(codecs.decode_reserve_writer_ids(request))
        return codecs.encode_reserved_writer_ids(reserved)  # type: ignore[no-any-return]


def _same_process(one: RegisterServer, other: RegisterServer) -> bool:
    return (one.server, one.incarnation) == (other.server, other.incarnation)
