"""What a coordinator serves while another one is active: the same APIs, refused with a code that clients know."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.rpc.service import RequestContext, ResponseBody, ServiceRegistry, rpc, served_keys


def standby_registry(services: Iterable[type], internal_listener: str) -> ServiceRegistry:
    """A registry that refuses what objects of some classes serve.

    Args:
        services: of the active coordinator.
        internal_listener: where it serves calls between servers.
    """
    keys = [key for service in services for key in served_keys(service)]
    standby = type("StandbyService", (), {key.name.lower(): rpc(key, raw=True)(_refusal()) for key in keys})
    return ServiceRegistry(standby(), internal_listener=internal_listener)


def _refusal() -> Callable[[Any, Any, RequestContext], ResponseBody]:
    def refuse(service: Any, request: Any, context: RequestContext) -> ResponseBody:
        raise _not_active()

    return refuse


def _not_active() -> FlussError:
    return FlussError(
        ErrorCode.NOT_COORDINATOR_LEADER_EXCEPTION,
        "this coordinator is not the active one",
        hint="a tablet server tells which coordinator is",
    )
