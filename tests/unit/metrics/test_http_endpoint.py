"""The pages of the metrics endpoint, and what it does with those who do not speak HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metrics import http_endpoint
from fluss_server.metrics.http_endpoint import HttpEndpoint, parse_ports
from fluss_server.metrics.samples import Sample
from fluss_server.runtime.runtime import system_runtime
from rpc_support import async_test

READY: dict[str, object] = {"ready": True, "offline_buckets": 0}


@asynccontextmanager
async def endpoint(health: dict[str, object] = READY, ports: range = range(1)) -> AsyncIterator[HttpEndpoint]:
    served = HttpEndpoint(
        [lambda: [Sample("tabletserver_leaderCount", 3)]], lambda: health, "127.0.0.1", ports, {}, system_runtime()
    )
    await served.start()
    try:
        yield served
    finally:
        await served.close()


def port_of(served: HttpEndpoint) -> int:
    return int(served.address.rpartition(":")[2])


async def ask(served: HttpEndpoint, request: bytes) -> tuple[int, dict[str, str], bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(served))
    writer.write(request)
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    return int(lines[0].split()[1]), headers, body


@async_test
async def test_metrics() -> None:
    async with endpoint() as served:
        status, headers, body = await ask(served, b"GET /metrics?a=b HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (status, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
        assert int(headers["content-length"]) == len(body)
        assert b"\nfluss_tabletserver_leaderCount 3.0\n" in body
        status, headers, body = await ask(served, b"HEAD /health HTTP/1.0\r\n\r\n")
        assert (status, body) == (200, b"")


@pytest.mark.parametrize(("ready", "status"), [(True, 200), (False, 503)])
@async_test
async def test_health(ready: bool, status: int) -> None:
    health: dict[str, object] = {"ready": ready, "offline_buckets": 7}
    async with endpoint(health) as served:
        response = await ask(served, b"GET /health HTTP/1.1\r\n\r\n")
        assert (response[0], json.loads(response[2])) == (status, health)


@pytest.mark.parametrize(
    ("request_line", "status"),
    [(b"GET / HTTP/1.1", 404), (b"GET /metrics/x HTTP/1.1", 404), (b"POST /metrics HTTP/1.1", 405), (b"\xff\xfe", 400)],
)
@async_test
async def test_other_requests(request_line: bytes, status: int) -> None:
    async with endpoint() as served:
        assert (await ask(served, request_line + b"\r\n\r\n"))[0] == status


@async_test
async def test_clients_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_endpoint, "LIMIT_S", 0.5)
    async with endpoint() as served:
        idle = [
            await asyncio.open_connection("127.0.0.1", port_of(served)) for _ in range(http_endpoint.MAX_CONNECTIONS)
        ]
        await asyncio.sleep(0.05)
        reader, _ = await asyncio.open_connection("127.0.0.1", port_of(served))
        assert await reader.read() == b"", "too many"
        for reader, writer in idle:
            assert await reader.read() == b"", "too slow"
            writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(served))
        writer.write(bytes(100_000))
        assert await reader.read() == b"", "too long"
        writer.close()
        assert (await ask(served, b"GET /health HTTP/1.1\r\n\r\n"))[0] == 200


@async_test
async def test_the_first_free_port_of_a_range() -> None:
    async with endpoint() as first:
        taken = port_of(first)
        async with endpoint(ports=range(taken, taken + 20)) as second:
            assert taken < port_of(second) < taken + 20
        with pytest.raises(FlussError) as raised:
            async with endpoint(ports=range(taken, taken + 1)):
                pass
        assert raised.value.code is ErrorCode.NETWORK_EXCEPTION
        assert str(taken) in str(raised.value)


def test_ports() -> None:
    assert (parse_ports("9249"), parse_ports("9249-9251")) == (range(9249, 9250), range(9249, 9252))
    for bad in ("", "x", "1-", "5-4", "70000", "-1", "1-2-3"):
        with pytest.raises(FlussError, match="not a port") as raised:
            parse_ports(bad)
        assert raised.value.code is ErrorCode.INVALID_CONFIG_EXCEPTION
