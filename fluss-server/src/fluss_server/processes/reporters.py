"""The metrics and the health of a server process over HTTP. Loaded only when they are reported."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from fluss_server.config import Configuration
from fluss_server.coordinator.coordinator_server import CoordinatorServer
from fluss_server.coordinator.metrics import coordinator_samples
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metrics.http_endpoint import HttpEndpoint, parse_ports
from fluss_server.metrics.samples import Sample, Source
from fluss_server.processes.listening import Listening
from fluss_server.rpc.metrics import connection_samples, loop_samples, request_samples
from fluss_server.runtime.runtime import Runtime
from fluss_server.tablet.health import bucket_health, membership_problems
from fluss_server.tablet.metrics import TabletMetrics
from fluss_server.tablet.tablet_server import TabletServer


async def start_reporter(
    configuration: Configuration,
    server_id: str,
    sources: Sequence[Source],
    health: Callable[[], Mapping[str, object]],
    runtime: Runtime,
) -> HttpEndpoint:
    """Serve metrics and health over HTTP; close what is returned.

    Args:
        server_id: a label of all metrics.
        sources: of the metrics.
        health: see ``HttpEndpoint``.

    Raises:
        FlussError: ``INVALID_CONFIG_EXCEPTION``; ``NETWORK_EXCEPTION`` when the port is taken.
    """
    reporters = set(configuration.get_list("metrics.reporters"))
    if unknown := reporters - {"prometheus"}:
        raise FlussError(
            ErrorCode.INVALID_CONFIG_EXCEPTION,
            f"metrics.reporters: there is no {', '.join(sorted(unknown))}",
            hint="the only reporter is prometheus",
        )
    endpoint = HttpEndpoint(
        sources,
        health,
        configuration.get_str("metrics.reporter.prometheus.host"),
        parse_ports(configuration.get_str("metrics.reporter.prometheus.port")),
        {"host": socket.gethostname(), "server_id": server_id},
        runtime,
    )
    await endpoint.start()
    return endpoint


def process_sources(listening: Listening, scope: str = "tabletserver") -> list[Source]:
    """What every process counts: requests, connections, and how its event loop is held.

    Args:
        scope: see ``request_samples``.
    """
    return [
        lambda: request_samples(listening.registry, scope),
        lambda: connection_samples(listening.shared),
        partial(loop_samples, listening.loop_monitor),
    ]


def tablet_source(server: TabletServer, configuration: Configuration) -> Source:
    """What a tablet server counts."""
    return TabletMetrics(
        server.replicas,
        server.scanners,
        server.reads.parked,
        server.disk,
        server.isr,
        server.membership,
        max_buckets=configuration.get_int("metrics.max-buckets"),
    ).samples


def coordinator_source(coordinator: Callable[[], CoordinatorServer | None]) -> Source:
    """What a coordinator counts while it is active.

    Args:
        coordinator: None while it is not.
    """

    def samples() -> Iterable[Sample]:
        active = coordinator()
        if active is None:
            return [Sample("coordinator_activeCoordinatorCount", 0)]
        return coordinator_samples(
            active.manager,
            active.controller,
            epoch=active.store.epoch,
            offline_buckets=active.offline_buckets,
        )

    return samples


def tablet_health(server: TabletServer) -> Mapping[str, object]:
    """Whether the buckets of a server in this process are healthy."""
    buckets = bucket_health(replica for replica in server.replicas.replicas() if not replica.is_closed)
    ready = not buckets["offline_buckets"] and not buckets["damaged_buckets"]
    return {"ready": ready, "disk_write_locked": server.disk.locked, **buckets}


def tablet_server_health(server: TabletServer) -> Mapping[str, object]:
    """The same of a member of a cluster, which also has to be registered and hold its lease."""
    health = tablet_health(server)
    problems, of_buckets = membership_problems(server.membership), health["problems"]
    assert isinstance(of_buckets, list)
    return {
        "role": "tablet server",
        "registered": server.membership.registered,
        "lease_held": server.membership.lease.held,
        **health,
        "ready": health["ready"] and not problems,
        "problems": [*problems, *of_buckets],
    }


def coordinator_health(
    coordinator: CoordinatorServer | None, standby_problem: Mapping[str, str] | None
) -> Mapping[str, object]:
    """Whether a coordinator can do its work. Offline buckets do not count: they are those of tablet servers.

    Args:
        coordinator: None while it is not active.
        standby_problem: why it could not become active, or pass on what clients call.
    """
    problems = [] if standby_problem is None else [standby_problem]
    if coordinator is None:
        return {"ready": not problems, "role": "coordinator", "state": "standby", "problems": problems}
    return {
        "ready": not problems,
        "role": "coordinator",
        "state": "active",
        "coordinator_epoch": coordinator.store.epoch,
        "live_tablet_servers": len(coordinator.controller.queue.state.servers),
        "offline_buckets": coordinator.offline_buckets,
        "problems": problems,
    }
