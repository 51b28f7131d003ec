"""Memory of requests: reserved as they arrive, never a deadlock, and what stalls gives way."""

from __future__ import annotations

import asyncio
import contextlib
import random
import struct

import pytest

from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode
from fluss_server.rpc import request_memory
from fluss_server.rpc.frames import request_prefix
from fluss_server.rpc.limits import RpcLimits
from fluss_server.rpc.request_memory import MAX_SLOW_CHECKS, Arrival, RequestMemory
from fluss_server.rpc.service import RequestContext, ResponseBody, rpc
from rpc_support import RawClient, async_test, eventually, serving

MIB = 1 << 20
KIB = 1 << 10


class Receiver:
    """A connection that receives a request of ``length`` bytes as fast as it gets memory, or stops on the way."""

    def __init__(self, memory: RequestMemory, length: int, *, stops_at: int | None = None) -> None:
        self.length = length
        self.stops_at = length if stops_at is None else stops_at
        self.received_bytes = 0
        self.waits_for_client = True
        self.dropped = False
        self.blocked = False
        self.arrival: Arrival = memory.arrive(self, length)

    def run(self) -> None:
        """Receive until memory lacks or nothing more comes."""
        self.blocked = False
        while self.received_bytes < self.stops_at:
            if self.received_bytes == self.arrival.granted and not self.arrival.extend(self.received_bytes):
                self.blocked = True
                return
            self.received_bytes = min(self.arrival.granted, self.stops_at)

    def receive_more(self) -> None:
        self.run()

    def drop_stalled(self) -> None:
        self.dropped = True
        self.arrival.discard()

    @property
    def complete(self) -> bool:
        return self.received_bytes == self.length


def test_starts_wake_in_order_while_memory_is_free() -> None:
    memory = RequestMemory(40, 10)
    lane = memory.short
    woken: list[str] = []

    def wake(name: str) -> None:
        woken.append(name)
        lane.take(6)

    lane.take(10)
    assert memory.full
    for name in ("a", "b", "c", "d"):
        lane.wait(name, 1, lambda name=name: wake(name))  # type: ignore[misc]
    lane.wait("a", 1, lambda: wake("a again"))
    lane.forget("b")
    assert memory.waiting == 3
    lane.release(10)
    assert woken == ["a", "c"]
    assert memory.full
    lane.release(6)
    assert woken == ["a", "c", "d"]
    lane.release(12)
    assert not memory.full
    assert memory.held == 0


def test_long_messages_do_not_keep_short_requests_waiting() -> None:
    """A decoded message takes 8 times its bytes: those that have arrived may take more than their part together."""
    memory = RequestMemory(64 * MIB, 100 * MIB)
    for _ in range(8):
        message = Receiver(memory, MIB)
        message.run()
        assert message.complete
        message.arrival.lane.arrived(message.arrival)
    memory.ordinary.take(8 * 7 * MIB)  # now they run
    assert memory.held == 64 * MIB
    assert not memory.full
    waiting = Receiver(memory, MIB)
    waiting.run()
    assert waiting.blocked
    memory.short.take(16 * MIB)
    assert memory.full


def test_large_requests_have_a_half_of_their_own() -> None:
    memory = RequestMemory(64 * MIB, 100 * MIB)
    huge = Receiver(memory, 90 * MIB)
    huge.run()
    assert huge.complete, "whatever its size, one may come"
    large = Receiver(memory, 4 * MIB)
    large.run()
    assert large.blocked
    assert not memory.full
    ordinary = Receiver(memory, 2 * MIB)
    ordinary.run()
    assert ordinary.complete, "a large one is more than a part in 32"
    huge.arrival.discard()
    assert large.complete
    large.arrival.discard()
    ordinary.arrival.discard()
    assert (memory.held, memory.waiting) == (0, 0)


def test_reserved_is_at_most_twice_what_has_arrived() -> None:
    memory = RequestMemory(512 * MIB, 100 * MIB)
    for received in (0, 5_000, 100_000, MIB, 50 * MIB):
        receiver = Receiver(memory, 100 * MIB, stops_at=received)
        receiver.run()
        assert receiver.arrival.granted <= 2 * received + 64 * KIB
        assert memory.held == receiver.arrival.granted
        receiver.arrival.discard()
    assert memory.held == 0


@pytest.mark.parametrize("seed", range(20))
def test_requests_that_together_exceed_the_memory_all_arrive(seed: int) -> None:
    """However their bytes interleave: the oldest one can always be completed."""
    source = random.Random(seed)
    memory = RequestMemory(64 * MIB, 30 * MIB)
    receivers = [Receiver(memory, source.randrange(3 * MIB, 30 * MIB)) for _ in range(12)]
    running: list[Receiver] = []
    done = 0
    while done < len(receivers):
        moved = False
        for receiver in source.sample(receivers, len(receivers)):
            if receiver in running or (receiver.complete and receiver.dropped):
                continue
            before = receiver.received_bytes
            if not receiver.blocked and not receiver.complete:
                receiver.stops_at = min(receiver.length, receiver.received_bytes + source.randrange(1, 3 * MIB))
                receiver.run()
            moved = moved or receiver.received_bytes > before
            if receiver.complete:
                receiver.arrival.lane.arrived(receiver.arrival)
                running.append(receiver)
            assert memory.held <= 32 * MIB, "the half of large requests"
        if running and (source.random() < 0.5 or not moved):
            ended = running.pop(source.randrange(len(running)))
            ended.dropped = True  # has its response
            ended.arrival.lane.release(ended.arrival.granted)
            done += 1
            moved = True
        assert moved, "nothing can go on"
    assert (memory.held, memory.waiting) == (0, 0)


def test_what_stalls_gives_way_only_while_others_wait() -> None:
    memory = RequestMemory(160 * MIB, 30 * MIB)
    stalled = [Receiver(memory, 30 * MIB, stops_at=20 * MIB) for _ in range(2)]
    for receiver in stalled:
        receiver.run()
    for _ in range(10):
        assert not memory.drop_stalled()
    assert not any(receiver.dropped for receiver in stalled), "nobody waits"
    waiting = Receiver(memory, 20 * MIB)
    waiting.run()
    assert waiting.blocked
    for _ in range(MAX_SLOW_CHECKS):
        assert memory.drop_stalled()
        assert not stalled[0].dropped
    assert not memory.drop_stalled()
    assert waiting.complete
    assert not waiting.dropped
    assert [receiver.dropped for receiver in stalled].count(True) == 1, "no more than needed"


def test_a_slow_request_that_makes_progress_stays() -> None:
    memory = RequestMemory(160 * MIB, 30 * MIB)
    slow = Receiver(memory, 30 * MIB, stops_at=25 * MIB)
    drip = Receiver(memory, 30 * MIB, stops_at=6 * MIB + MIB // 2)
    server_bound = Receiver(memory, 30 * MIB, stops_at=MIB)
    server_bound.waits_for_client = False
    for receiver in (slow, drip, server_bound):
        receiver.run()
    waiting = Receiver(memory, 29 * MIB)
    waiting.run()
    assert waiting.blocked
    for _ in range(MAX_SLOW_CHECKS + 1):
        memory.drop_stalled()
        slow.stops_at += 40 * KIB
        slow.run()
        drip.stops_at += 100
        drip.run()
    assert (slow.dropped, drip.dropped, server_bound.dropped, waiting.dropped) == (False, True, False, False)


# ---------------------------------------------------------------- over the network


class Service:
    @rpc(ApiKey.LIMIT_SCAN, raw=True)
    def size(self, request: memoryview, context: RequestContext) -> ResponseBody:
        return [str(len(request)).encode()]

    @rpc(ApiKey.FETCH_LOG, raw=True, cancel_on_disconnect=True)
    async def wait_for_data(self, request: memoryview, context: RequestContext) -> ResponseBody:
        await asyncio.get_running_loop().create_future()
        return []


async def ask(client: RawClient, size: int) -> int:
    client.writer.write(request_prefix(ApiKey.LIMIT_SCAN, 0, 1, size))
    left = size
    while left:
        count = min(left, MIB)
        client.writer.write(bytes(count))
        await client.writer.drain()
        left -= count
    return int(bytes((await client.receive()).body))


@async_test
async def test_stalled_clients_give_way_to_an_honest_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_memory, "CHECK_INTERVAL_S", 0.1)
    async with (
        serving(Service(), max_server_request_bytes=64 * MIB, max_frame_bytes=30 * MIB) as server,
        contextlib.AsyncExitStack() as stack,
    ):
        stalled = []
        for _ in range(4):
            client = await stack.enter_async_context(RawClient.connected(server.port))
            client.writer.write(struct.pack(">i", 30 * MIB) + bytes(20 * MIB))
            stalled.append(client)
        # The oldest one has arrived as far as it goes, and the others have what is left to them.
        await eventually(lambda: server.request_memory.held > 20 * MIB)
        honest = await stack.enter_async_context(RawClient.connected(server.port))
        started = asyncio.get_running_loop().time()
        assert await ask(honest, 20 * MIB) == 20 * MIB
        # Long before the time for receiving a request of the stalled ones is over, also on a busy machine.
        assert asyncio.get_running_loop().time() - started < RpcLimits().receive_timeout_s / 2
        dropped = 0
        for client in stalled:
            with contextlib.suppress(asyncio.TimeoutError, asyncio.IncompleteReadError, ConnectionResetError):
                code, text = await asyncio.wait_for(client.receive_error(), 0.2)
                assert code == ErrorCode.REQUEST_TIME_OUT
                assert "others wait for its memory" in text
                dropped += 1
        assert dropped >= 1


@async_test
async def test_many_large_requests_at_once_all_get_through() -> None:
    async with (
        serving(Service(), max_server_request_bytes=16 * MIB, max_frame_bytes=6 * MIB) as server,
        contextlib.AsyncExitStack() as stack,
    ):
        clients = [await stack.enter_async_context(RawClient.connected(server.port)) for _ in range(16)]
        sizes = [MIB // 4 + number * MIB // 3 for number in range(16)]
        assert await asyncio.gather(*map(ask, clients, sizes)) == sizes
        await eventually(lambda: server.request_memory.held == 0)


@async_test
async def test_long_requests_that_only_wait_for_data_give_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_memory, "CHECK_INTERVAL_S", 0.05)
    async with (
        serving(Service(), max_server_request_bytes=16 * MIB) as server,
        RawClient.connected(server.port) as waiting,
        RawClient.connected(server.port) as client,
    ):
        for request_id in range(20):
            waiting.send(ApiKey.FETCH_LOG, bytes(250 * KIB), request_id)
        await eventually(lambda: server.request_memory.held > 3 * MIB)
        for request_id in range(2):
            client.send(ApiKey.FETCH_LOG, bytes(200 * KIB), request_id)
        await eventually(lambda: server.request_memory.waiting > 0)
        code, text = await waiting.receive_error()
        assert code == ErrorCode.NETWORK_EXCEPTION
        assert "others need its memory" in text
