"""The metrics of a server over HTTP. Loaded only when they are reported."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from functools import partial

from fluss_server.config import Configuration
from fluss_server.coordinator.cluster_service import ReplicaCounts
from fluss_server.coordinator.coordinator_server import CoordinatorServer
from fluss_server.coordinator.metrics import coordinator_samples
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metrics.http_endpoint import HttpEndpoint, parse_ports
from fluss_server.rpc.metrics import connection_samples, loop_samples, request_samples
from fluss_server.rpc.service import ServiceRegistry
from fluss_server.rpc.shared_resources import SharedResources
from fluss_server.runtime.loop_monitor import LoopMonitor
from fluss_server.runtime.runtime import Runtime
from fluss_server.tablet.health import bucket_health
from fluss_server.tablet.metrics import TabletMetrics
from fluss_server.tablet.tablet_server import TabletServer


async def start_prometheus(
    configuration: Configuration,
    *,
    server_id: int,
    registry: ServiceRegistry,
    shared: SharedResources,
    coordinator: CoordinatorServer,
    tablet_server: TabletServer,
    loop_monitor: LoopMonitor,
    replica_counts: Callable[[], ReplicaCounts],
    runtime: Runtime,
) -> HttpEndpoint:
    """Serve metrics and health over HTTP; close what is returned.

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
    disk = tablet_server.disk
    tablets = TabletMetrics(
        tablet_server.replicas,
        tablet_server.scanners,
        tablet_server.reads.parked,
        disk,
        tablet_server.isr,
        max_buckets=configuration.get_int("metrics.max-buckets"),
    )

    def offline() -> int:
        counts = replica_counts()
        return counts.leaders - counts.active_leaders

    def health() -> Mapping[str, object]:
        buckets = bucket_health(replica for replica in tablet_server.replicas.replicas() if not replica.is_closed)
        ready = not buckets["offline_buckets"] and not buckets["damaged_buckets"]
        return {"ready": ready, "disk_write_locked": disk.locked, **buckets}

    endpoint = HttpEndpoint(
        [
            partial(request_samples, registry),
            partial(connection_samples, shared),
            partial(loop_samples, loop_monitor),
            tablets.samples,
            lambda: coordinator_samples(
                coordinator.manager, offline_buckets=offline(), live_servers=coordinator.controller.live_servers
            ),
        ],
        health,
        configuration.get_str("metrics.reporter.prometheus.host"),
        parse_ports(configuration.get_str("metrics.reporter.prometheus.port")),
        {"host": socket.gethostname(), "server_id": str(server_id)},
        runtime,
    )
    await endpoint.start()
    return endpoint
