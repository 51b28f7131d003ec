from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from typing import Any

from fluss_server.coordinator.server_monitor import CHECKS_PER_TIMEOUT, ServerMonitor
from fluss_server.simulation import Simulation

TIMEOUT_S = 3.0


Script = Callable[[ServerMonitor], Coroutine[Any, Any, None]]


def simulated(script: Script) -> list[tuple[int, float]]:
    """Who was found silent and when, in simulated seconds, while a script runs."""
    found: list[tuple[int, float]] = []
    with Simulation(1) as simulation:
        machine = simulation.machine("coordinator")
        clock = machine.runtime().clock

        async def main() -> None:
            begin = clock.monotonic()
            monitor = ServerMonitor(clock, TIMEOUT_S, lambda server: found.append((server, clock.monotonic() - begin)))
            monitor.start()
            await script(monitor)
            monitor.close()

        async def run() -> None:
            await machine.start(main())

        simulation.run(run())
    return found


def test_a_silent_server_is_found_once_in_time() -> None:
    async def script(monitor: ServerMonitor) -> None:
        monitor.heard(1)
        for _ in range(20):
            monitor.heard(2)
            await asyncio.sleep(0.5)

    [(server, at)] = simulated(script)
    assert server == 1
    assert TIMEOUT_S < at <= TIMEOUT_S * (1 + 2 / CHECKS_PER_TIMEOUT)


def test_who_is_no_member_any_more_is_not_missed() -> None:
    async def script(monitor: ServerMonitor) -> None:
        monitor.heard(1)
        assert monitor.heard_at(1) > monitor.heard_at(2) == -math.inf
        monitor.forget(1)
        await asyncio.sleep(10)

    assert simulated(script) == []
