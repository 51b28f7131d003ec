"""A loop that was held shows in the time at which a timer fires."""

from __future__ import annotations

import asyncio

import pytest

from fluss_server.runtime.loop_monitor import INTERVAL_S, LoopMonitor
from fluss_server.simulation import Simulation


def test_a_hold_is_measured() -> None:
    with Simulation(1) as simulation:
        monitor = LoopMonitor(simulation.machine("server").runtime().clock)

        async def main() -> None:
            monitor.start()
            await asyncio.sleep(1.0)
            assert monitor.longest_hold_s < 0.001
            simulation.loop.advance(INTERVAL_S + 0.3)  # as a request with too much work would
            await asyncio.sleep(1.0)
            monitor.stop()

        simulation.run(main())
        assert monitor.take_recent_s() == pytest.approx(0.3, abs=INTERVAL_S)
        assert monitor.take_recent_s() == 0.0
        assert monitor.longest_hold_s == pytest.approx(0.3, abs=INTERVAL_S)
        assert monitor.holds == 1
