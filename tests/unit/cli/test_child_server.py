"""A server as a child process: what it announces, and how often it is started again."""

from __future__ import annotations

import asyncio
import signal
import sys

import pytest

from fluss_server.cli import child_server
from fluss_server.cli.child_server import Announcement, ChildServer
from fluss_server.errors import FlussError
from rpc_support import async_test

READY = (
    "print('Metrics for Prometheus: http://127.0.0.1:2/metrics')\n"
    "print('It is ready: bootstrap.servers=h:1', flush=True)\n"
)


def child(program: str, ready: list[Announcement], failed: list[FlussError]) -> ChildServer:
    return ChildServer("server 3", lambda: [sys.executable, "-c", program], ready.append, failed.append)


@async_test
async def test_it_is_started_again_only_so_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_server, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(child_server, "MAX_ENDS", 2)
    ready: list[Announcement] = []
    failed: asyncio.Future[FlussError] = asyncio.get_running_loop().create_future()
    program = f"{READY}raise SystemExit(5)"
    server = ChildServer("server 3", lambda: [sys.executable, "-c", program], ready.append, failed.set_result)
    await server.start()
    assert (ready[0].address, ready[0].port, ready[0].metrics_address) == ("h:1", 1, "127.0.0.1:2")
    error = await asyncio.wait_for(failed, 30)
    assert len(ready) == 3
    assert len({announcement.pid for announcement in ready}) == 3
    assert "server 3, process" in error.message
    assert "ended with exit code 5, for the 3th time within 60 s" in error.message
    await server.stop()


@async_test
async def test_it_must_become_ready_the_first_time() -> None:
    server = child("raise SystemExit(2)", [], [])
    with pytest.raises(FlussError, match="server 3 ended with exit code 2 before it was ready"):
        await server.start()
    await server.stop()


@async_test
async def test_a_stop_is_no_end_of_its_own() -> None:
    ready: list[Announcement] = []
    failed: list[FlussError] = []
    server = child(f"{READY}import sys; sys.stdin.read()", ready, failed)
    await server.start()
    await server.stop()
    await server.stop()
    assert len(ready) == 1
    assert not failed


@async_test
async def test_one_that_does_not_stop_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_server, "STOP_TIMEOUT_S", 0.05)
    ready: list[Announcement] = []
    ignoring = f"import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n{READY}time.sleep(60)"
    server = child(ignoring, ready, [])
    await server.start()
    await asyncio.wait_for(server.stop(), 20)
    assert server._process is not None
    assert server._process.returncode == -signal.SIGKILL
