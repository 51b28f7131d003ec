"""The bundle of everything that a server takes from the machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from random import Random
from typing import NamedTuple

from fluss_server.runtime.clock import Clock, SystemClock
from fluss_server.runtime.disk import Disk
from fluss_server.runtime.network import Network
from fluss_server.runtime.randomness import Secrets, SystemSecrets
from fluss_server.runtime.system_disk import SystemDisk
from fluss_server.runtime.system_network import SystemNetwork
from fluss_server.runtime.workers import ThreadWorkers, Workers


class Runtime(NamedTuple):
    """The machine, as a server sees it.

    Timers and tasks come from the running asyncio event loop, which the simulation replaces as a whole.

    Attributes:
        clock: wall and monotonic time; blocking sleep for worker threads.
        disk: files and directories.
        network: listening and connecting.
        workers: thread pools and locks.
        random: what needs no secrecy, for example jitter; seeded in tests.
        secrets: what nobody may guess.
        environment: environment variables of the process.
    """

    clock: Clock
    disk: Disk
    network: Network
    workers: Workers
    random: Random
    secrets: Secrets
    environment: Mapping[str, str]


def system_runtime(*, clock: Clock | None = None, disk: Disk | None = None, workers: Workers | None = None) -> Runtime:
    """The real machine.

    Args:
        clock: replaces the system's clock; for tests.
        disk: replaces the system's files; for tests.
        workers: replaces threads; for tests.
    """
    return Runtime(
        clock=clock or SystemClock(),
        disk=disk or SystemDisk(),
        network=SystemNetwork(),
        workers=workers or ThreadWorkers(),
        random=Random(),
        secrets=SystemSecrets(),
        environment=os.environ,
    )
