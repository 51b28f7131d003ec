"""What a coordinator in another process tells this tablet server."""

from __future__ import annotations

from typing import Any

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.api.own_messages import message_class
from fluss_server.cluster import control_codecs as codecs
from fluss_server.cluster.gateways import TabletServerGateway
from fluss_server.cluster.settings_update import decode_update_settings
from fluss_server.rpc.service import RequestContext, ResponseBody, rpc


class ControlService:
    """NOTIFY_LEADER_AND_ISR, UPDATE_METADATA, UPDATE_SETTINGS and STOP_REPLICA.

    Args:
        server: this tablet server.
    """

    def __init__(self, server: TabletServerGateway) -> None:
        self._server = server

    @rpc(ApiKey.NOTIFY_LEADER_AND_ISR)
    async def notify_leader_and_isr(self, request: Any, context: RequestContext) -> ResponseBody:
        response = await self._server.notify_leader_and_isr(codecs.decode_notify_leader_and_isr(request))
        return codecs.encode_notify_leader_and_isr_response(response)

    @rpc(ApiKey.UPDATE_METADATA)
    async def update_metadata(self, request: Any, context: RequestContext) -> ResponseBody:
        await self._server.update_metadata(codecs.decode_update_metadata(request))
        return pb.UpdateMetadataResponse()

    @rpc(ApiKey.UPDATE_SETTINGS)
    async def update_settings(self, request: Any, context: RequestContext) -> ResponseBody:
        await self._server.update_settings(decode_update_settings(request))
        return message_class("UpdateSettingsResponse")()  # type: ignore[no-any-return]

    @rpc(ApiKey.STOP_REPLICA)
    async def stop_replica(self, request: Any, context: RequestContext) -> ResponseBody:
        response = await self._server.stop_replicas(codecs.decode_stop_replicas(request))
        return codecs.encode_stop_replicas_response(response)
