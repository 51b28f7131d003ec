"""Metrics of requests and connections."""

from __future__ import annotations

from collections.abc import Iterable

from fluss_server.api.keys import ApiKey, ApiSpec
from fluss_server.metrics.samples import Sample
from fluss_server.rpc.service import ServiceRegistry
from fluss_server.rpc.shared_resources import SharedResources
from fluss_server.runtime.loop_monitor import LoopMonitor


def request_samples(registry: ServiceRegistry, scope: str = "tabletserver") -> Iterable[Sample]:
    """Per API that was called at least once.

    Args:
        scope: ``tabletserver``, also of a process that is both, or ``coordinator``.
    """
    for handler in registry.handlers:
        stats = handler.stats
        count = stats.count
        if count:
            labels = (request_name(handler.spec),)
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
        return "fetchLogClient"  # fetches of followers are counted apart, once there are followers
    return spec.messages[0].lower() + spec.messages[1:]


def loop_samples(monitor: LoopMonitor) -> Iterable[Sample]:
    """How long the event loop was held."""
    yield Sample("server_eventLoopLongestHoldMs", monitor.take_recent_s() * 1000)
    yield Sample("server_eventLoopHolds", monitor.holds)
