"""Virtual time, processes that end at once, and runs that cannot go on."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref

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


def test_timers_of_one_time_run_in_order_and_cancelled_ones_never() -> None:
    with Simulation(1) as simulation:
        loop = simulation.loop
        ran: list[int] = []

        async def main() -> None:
            timers = [loop.call_at(5.0, ran.append, number) for number in range(1_000)]
            for number, timer in enumerate(timers):
                if number % 10:
                    timer.cancel()
            await asyncio.sleep(5.0)
            await asyncio.sleep(0)

        simulation.run(main())
        assert ran == list(range(0, 1_000, 10))


def test_what_a_paused_process_has_to_do_waits() -> None:
    with Simulation(1) as simulation:
        machine = simulation.machine("a")
        times: list[float] = []

        async def process() -> None:
            await asyncio.sleep(1)
            times.append(simulation.loop.time())

        async def main() -> None:
            machine.runtime()
            task = machine.start(process())
            await asyncio.sleep(0.5)
            assert machine.pause()
            await asyncio.sleep(2)
            assert not times
            machine.resume()
            await task

        simulation.run(main())
        assert times == [2.5]


def test_nothing_of_a_run_is_left_when_its_processes_clean_up_in_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that a ``finally`` block starts at the end must not go to another loop, which would hold it for good."""
    monkeypatch.setattr(asyncio.get_event_loop_policy(), "new_event_loop", lambda: pytest.fail("another loop"))
    started: list[asyncio.Task[None]] = []

    async def clean_up() -> None:
        await asyncio.sleep(1)

    async def process() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            started.append(asyncio.ensure_future(clean_up()))

    def run() -> weakref.ref[Simulation]:
        with Simulation(1) as simulation:
            machine = simulation.machine("a")

            async def main() -> None:
                machine.runtime()
                machine.start(process())
                await asyncio.sleep(1)

            simulation.run(main())
            return weakref.ref(simulation)

    of_run = run()
    assert len(started) == 1
    assert started.pop().get_loop().is_closed()
    gc.collect()
    assert of_run() is None
