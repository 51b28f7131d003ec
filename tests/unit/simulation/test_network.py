"""Connections in memory behave as asyncio's do, break with their process, and stall with their link."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fluss_server.runtime import Runtime
from fluss_server.simulation import Simulation


async def serve(runtime: Runtime, port: int) -> None:
    """An echo server."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    loop = asyncio.get_running_loop()
    listening = await runtime.network.listen(
        "server", port, lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader(loop=loop), handle)
    )
    await listening.start()


@contextlib.asynccontextmanager
async def connected(runtime: Runtime, port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(loop=loop)
    transport, protocol = await runtime.network.connect(
        "server", port, lambda: asyncio.StreamReaderProtocol(reader, loop=loop)
    )
    writer = asyncio.StreamWriter(transport, protocol, reader, loop)
    yield reader, writer
    writer.close()


def run(seed: int, script: Any) -> tuple[Any, str]:
    with Simulation(seed) as simulation:
        server, client = simulation.machine("server"), simulation.machine("client")

        async def main() -> Any:
            server.start(serve(server.runtime(), 1))
            await asyncio.sleep(1)
            runtime = client.runtime()
            return await client.start(script(simulation, runtime))

        return simulation.run(main()), simulation.trace.digest()


async def echo(simulation: Simulation, runtime: Runtime) -> bytes:
    async with connected(runtime, 1) as (reader, writer):
        sent = simulation.random.randbytes(1_000_000)
        writer.write(sent)
        received = await reader.readexactly(len(sent))
        assert received == sent
        return received[:8]


def test_bytes_arrive_in_order_and_the_same_way_each_time() -> None:
    first, second, other = run(1, echo), run(1, echo), run(2, echo)
    assert first == second
    assert first != other


def test_nobody_listens() -> None:
    async def script(simulation: Simulation, runtime: Runtime) -> None:
        with pytest.raises(ConnectionRefusedError):
            async with connected(runtime, 2):
                pass

    run(1, script)


@pytest.mark.parametrize("how", ["kill", "lose_power"])
def test_connections_of_a_killed_process_break(how: str) -> None:
    async def script(simulation: Simulation, runtime: Runtime) -> None:
        async with connected(runtime, 1) as (reader, writer):
            writer.write(b"a")
            assert await reader.readexactly(1) == b"a"
            getattr(simulation.machine("server"), how)()
            with pytest.raises(ConnectionResetError):
                await reader.read(1)
        with pytest.raises(ConnectionRefusedError):
            async with connected(runtime, 1):
                pass

    run(1, script)


def test_a_blocked_link_holds_bytes_back() -> None:
    async def script(simulation: Simulation, runtime: Runtime) -> None:
        async with connected(runtime, 1) as (reader, writer):
            simulation.network.block("server", "client")
            writer.write(b"abc")
            reading = asyncio.ensure_future(reader.readexactly(3))
            await asyncio.sleep(100)
            assert not reading.done()
            simulation.network.unblock("server", "client")
            assert await reading == b"abc"

    run(1, script)


def test_a_held_connection_holds_bytes_back_and_others_go_on() -> None:
    async def script(simulation: Simulation, runtime: Runtime) -> None:
        async with connected(runtime, 1) as (reader, writer):
            release = simulation.network.hold(simulation.random)
            assert release is not None
            writer.write(b"abc")
            reading = asyncio.ensure_future(reader.readexactly(3))
            async with connected(runtime, 1) as (other_reader, other_writer):
                other_writer.write(b"d")
                assert await other_reader.readexactly(1) == b"d"
            await asyncio.sleep(100)
            assert not reading.done()
            release()
            assert await reading == b"abc"

    for seed in range(4):  # one direction, the other one, both
        run(seed, script)


def test_a_held_connection_breaks_with_its_process() -> None:
    async def script(simulation: Simulation, runtime: Runtime) -> None:
        async with connected(runtime, 1) as (reader, _):
            release = simulation.network.hold(simulation.random)
            assert release is not None
            simulation.machine("server").kill()
            with pytest.raises(ConnectionResetError):
                await reader.read(1)
            release()

    run(1, script)


def test_a_connection_is_reset_before_the_other_side_has_accepted_it() -> None:
    async def script(simulation: Simulation, runtime: Runtime) -> None:
        server = simulation.machine("server")
        server.pause()
        async with connected(runtime, 1) as (reader, _):
            assert simulation.network.reset("client", "server") == 1
            with pytest.raises(ConnectionResetError):
                await reader.read(1)
        server.resume()
        async with connected(runtime, 1) as (reader, writer):
            writer.write(b"a")
            assert await reader.readexactly(1) == b"a"

    run(1, script)


def test_workers_of_a_slow_machine() -> None:
    async def script(simulation: Simulation, runtime: Runtime) -> None:
        pool = runtime.workers.pool("work", 1)
        took = []
        for longest in (0.001, 1000.0):
            simulation.machine("client").max_work_s = longest
            begin = simulation.loop.time()
            await pool.run(int)
            took.append(simulation.loop.time() - begin)
        assert took[0] < 0.001 < 1.0 < took[1]

    run(1, script)


def test_a_receiver_that_does_not_read_stops_the_sender() -> None:
    async def script(simulation: Simulation, runtime: Runtime) -> None:
        async with connected(runtime, 1) as (reader, writer):
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(bytes(20_000_000))
            await asyncio.sleep(60)
            assert writer.transport.get_write_buffer_size() > 1_000_000
            writer.transport.resume_reading()  # type: ignore[attr-defined]
            assert len(await reader.readexactly(20_000_000)) == 20_000_000

    run(1, script)
