"""Calls of clients that another server of the cluster has to serve: passed on, and served in their name.

A tablet server passes to the coordinator what only that can serve, and so does a standby coordinator. The principal and
the address of the client travel with the request, and the listener through which it came: the coordinator checks
*their* permissions. It believes them because only servers of the cluster may call FORWARD_CALL.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

from fluss_server.api.keys import API_SPECS, ApiKey
from fluss_server.api.own_messages import message_class
from fluss_server.cluster.peer import PeerConnection
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.principal import Principal
from fluss_server.rpc.direct_call import DirectCalls
from fluss_server.rpc.service import RequestContext, ResponseBody, ServiceRegistry, rpc

MAX_REQUEST_BYTES = 4 << 20

FORWARD_TIMEOUT_S = 150.0
"""Longer than the creation of a table may take."""


def forwarding_service(
    keys: Iterable[ApiKey], connection: PeerConnection, look_again: Callable[[], Awaitable[None]]
) -> object:
    """A service whose methods pass the calls of some APIs on.

    Args:
        keys: the APIs.
        connection: to the active coordinator, as far as that is known.
        look_again: finds out which one it is now.
    """
    methods = {key.name.lower(): rpc(key, raw=True)(_forwarder(key, connection, look_again)) for key in keys}
    return type("ForwardingService", (), methods)()


def _forwarder(
    key: ApiKey, connection: PeerConnection, look_again: Callable[[], Awaitable[None]]
) -> Callable[[Any, memoryview, RequestContext], Coroutine[Any, Any, ResponseBody]]:
    async def forward(service: Any, request: memoryview, context: RequestContext) -> ResponseBody:
        call = message_class("ForwardCallRequest")(
            api_key=key,
            api_version=context.api_version,
            principal_type=context.principal.type,
            principal_name=context.principal.name,
            peer=context.peer,
            request=bytes(request),
            listener=context.listener,
        )
        try:
            response = await connection.call(ApiKey.FORWARD_CALL, call, timeout_s=FORWARD_TIMEOUT_S)
        except FlussError as error:
            if error.code is not ErrorCode.NOT_COORDINATOR_LEADER_EXCEPTION:
                raise
            await look_again()  # it was not served, so that it can be sent once more
            response = await connection.call(ApiKey.FORWARD_CALL, call, timeout_s=FORWARD_TIMEOUT_S)
        return [response.response]

    return forward


class ForwardedCalls:
    """Serves what other servers pass on.

    Args:
        keys: the APIs that may be passed on.

    Attributes:
        registry: serves them; set it before the first call.
    """

    registry: ServiceRegistry

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        self._keys = frozenset(keys)
        self._calls = DirectCalls()

    @rpc(ApiKey.FORWARD_CALL)
    async def forward_call(self, request: Any, context: RequestContext) -> ResponseBody:
        handler = self.registry.get(request.api_key) if request.api_key in self._keys else None
        if handler is None:
            raise FlussError(ErrorCode.UNSUPPORTED_VERSION, f"API {request.api_key} is not served for others")
        handler.check_version(request.api_version)
        caller = RequestContext(
            request.api_key,
            request.api_version,
            Principal(request.principal_type, request.principal_name),
            request.listener or context.listener,  # clients are directed to the listener through which they came
            request.peer,
            context.local_host,
            context.local_port,
        )
        limit = min(MAX_REQUEST_BYTES, API_SPECS[ApiKey(request.api_key)].max_request_bytes)
        response = await self._calls.call(handler, request.request, caller, limit)
        return message_class("ForwardCallResponse")(response=response)  # type: ignore[no-any-return]
