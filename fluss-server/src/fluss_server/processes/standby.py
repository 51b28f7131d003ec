"""What a coordinator serves while another one is active."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fluss_server.cluster.forwarding import forwarding_service
from fluss_server.cluster.peer import PeerConnection
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.processes.coordinator_term import FORWARDED_KEYS, REFUSED_BY_STANDBYS, SERVED_BY_ALL
from fluss_server.rpc.service import RequestContext, ResponseBody, ServiceRegistry, rpc


def standby_registry(
    active: PeerConnection, look_again: Callable[[], Awaitable[None]], internal_listener: str
) -> ServiceRegistry:
    """Calls of clients go to the active coordinator; those of servers are refused, because they look for it.

    Args:
        active: to the active coordinator, as far as that is known.
        look_again: finds out which one it is now.
        internal_listener: where calls between servers are served.
    """
    refusing = type(
        "RefusingService", (), {key.name.lower(): rpc(key, raw=True)(_refusal()) for key in REFUSED_BY_STANDBYS}
    )
    forwarding = forwarding_service(FORWARDED_KEYS | SERVED_BY_ALL, active, look_again)
    return ServiceRegistry(forwarding, refusing(), internal_listener=internal_listener)


def _refusal() -> Callable[[Any, Any, RequestContext], ResponseBody]:
    def refuse(service: Any, request: Any, context: RequestContext) -> ResponseBody:
        raise FlussError(
            ErrorCode.NOT_COORDINATOR_LEADER_EXCEPTION,
            "this coordinator is not the active one",
            hint="the node /coordinators/active in ZooKeeper says which is",
        )

    return refuse
