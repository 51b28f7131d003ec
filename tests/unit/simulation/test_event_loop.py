"""Virtual time, processes that end at once, and runs that cannot go on."""

from __future__ import annotations

import asyncio
import time

import pytest

from fluss_server.simulation import Simulation, SimulationHangs


def test_time_jumps() -> None:
    with Simulation(1) as simulation:

        async def main() -> tuple[float, list[int]]:
            order: list[int] = []

            async def later(seconds: float, number: int) -> None:
                await asyncio.sleep(seconds)
                order.append(number)

            await asyncio.gather(later(300, 3), later(1, 1), later(20, 2))
            return simulation.loop.time(), order

        started = time.monotonic()
        assert simulation.run(main()) == (300.0, [1, 2, 3])
        assert time.monotonic() - started < 30


def test_nothing_of_a_killed_process_runs() -> None:
    with Simulation(1) as simulation:
        machine = simulation.machine("a")
        seen: list[str] = []

        async def process() -> None:
            try:
                seen.append("started")
                await asyncio.sleep(10)
                seen.append("went on")
            finally:
                seen.append("cleaned up")

        async def main() -> None:
            machine.runtime()
            task = machine.start(process())
            await asyncio.sleep(5)
            machine.kill()
            del task
            await asyncio.sleep(100)

        simulation.run(main())
        assert seen == ["started"]


def test_who_waits_for_a_process_does_not_become_part_of_it() -> None:
    with Simulation(1) as simulation:
        machine = simulation.machine("a")

        async def end_soon() -> str:
            await asyncio.sleep(1)
            return "ended"

        async def main() -> str:
            machine.runtime()
            ended = await machine.start(end_soon())
            machine.kill()
            await asyncio.sleep(1)  # never returns in a killed process
            return ended

        assert simulation.run(main()) == "ended"


def test_a_run_in_which_nothing_is_left_is_reported() -> None:
    with Simulation(1) as simulation:

        async def main() -> None:
            await simulation.loop.create_future()

        with pytest.raises(SimulationHangs, match="nothing is left to run"):
            simulation.loop.run_until_complete(main())


def test_a_run_that_does_not_advance_is_reported() -> None:
    with Simulation(1) as simulation:

        async def main() -> None:
            def again() -> None:
                simulation.loop.call_soon(again)

            again()
            await simulation.loop.create_future()

        with pytest.raises(SimulationHangs, match="time does not go on"):
            simulation.run(main())
