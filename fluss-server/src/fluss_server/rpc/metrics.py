"""Metrics of requests and connections."""

from __future__ import annotations

from collections.abc import Iterable

from fluss_server.api.keys import ApiKey, ApiSpec
from fluss_server.metrics.samples import Sample
from fluss_server.rpc.service import ServiceRegistry
from fluss_server.rpc.shared_resources import SharedResources
from fluss_server.runtime.loop_monitor import LoopMonitor

_FOLLOWER_FETCH = "fetchLogFollower"


def request_samples(registry: ServiceRegistry, scope: str = "tabletserver") -> Iterable[Sample]:
    """Per API that was called at least once.

    Args:
        scope: ``tabletserver``, also of a process that is both, or ``coordinator``.
    """
    counted = [(request_name(handler.spec), handler.stats) for handler in registry.handlers]
    counted += [(_FOLLOWER_FETCH, handler.server_stats) for handler in registry.handlers if handler.server_stats]
    for name, stats in counted:
        count = stats.count
        if count:
            labels = (name,)
            yield Sample(f"{scope}_request_requestsPerSecond", count, labels)
            yield Sample(f"{scope}_request_errorsPerSecond", stats.errors, labels)
            yield Sample(f"{scope}_request_requestBytes", stats.request_bytes, labels)
            yield Sample(f"{scope}_request_totalTimeMs", stats.times, labels)


def connection_samples(shared: SharedResources) -> Iterable[Sample]:
    """What clients cost now."""
    yield Sample("server_connectionCount", shared.connections)
    yield Sample("server_refusedConnections", shared.refused_connections)
    yield Sample("server_requestMemoryBytes", shared.request_memory.held)
    yield Sample("server_requestsWaitingForMemory", shared.request_memory.waiting)
    yield Sample("server_responseMemoryBytes", shared.response_memory.held)
    yield Sample("server_evictedConnections", shared.response_memory.evictions)


def request_name(spec: ApiSpec) -> str:
    """The official label of an API, for example ``produceLog``."""
    if spec.key is ApiKey.FETCH_LOG:
        return "fetchLogClient"  # those of followers are counted separately
    return spec.messages[0].lower() + spec.messages[1:]


def loop_samples(monitor: LoopMonitor) -> Iterable[Sample]:
    """How long the event loop was held."""
    yield Sample("server_eventLoopLongestHoldMs", monitor.take_recent_s() * 1000)
    yield Sample("server_eventLoopHolds", monitor.holds)
