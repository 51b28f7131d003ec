"""Proxies between the servers of a cluster, which can hold the bytes of one direction of one pair of servers.

Every server advertises the port of a proxy as that of its internal listener. Who has connected is found out from the
system: the process that has the other end of the connection. So servers need no configuration of their own for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

HOST = "127.0.0.1"
_CHUNK_BYTES = 1 << 16
_LOOK_INTERVAL_S = 0.05

Pids = Callable[[], Mapping[int, str]]
"""Names of the processes that run, by process id."""


class Links:
    """All proxies of a cluster. :meth:`close` it.

    A direction is a pair of names, from whom and to whom. While it is blocked nothing of what is sent in it arrives,
    over connections that are open as well as over new ones.
    """

    def __init__(self, pids: Pids) -> None:
        self._pids = pids
        self._proxies: list[_Proxy] = []
        self._gates: dict[tuple[str, str], asyncio.Event] = {}
        self.connections: dict[asyncio.Task[None], tuple[str, str]] = {}

    async def add(self, target: str, target_port: int, *, source: str | None = None) -> int:
        """A proxy before a port; returns its own port.

        Args:
            target: name of the server behind it.
            target_port: on :data:`HOST`.
            source: name of who connects; None = it is found out for every connection.
        """
        proxy = _Proxy(self, target, target_port, source)
        self._proxies.append(proxy)
        return await proxy.listen()

    async def close(self) -> None:
        """Close everything."""
        for proxy in self._proxies:
            proxy.close()
        await self._cancel([*self.connections])

    def block(self, source: str, target: str) -> None:
        """Hold what is sent in a direction from now on."""
        self.gate(source, target).clear()

    async def unblock(self, source: str, target: str, *, lose: bool) -> None:
        """Let bytes pass again.

        Args:
            lose: break the connections of the pair, so that what was held is lost; else it arrives now.
        """
        gate = self.gate(source, target)
        if lose and not gate.is_set():
            pair = {source, target}
            await self._cancel([task for task, ends in self.connections.items() if pair == set(ends)])
        gate.set()

    def gate(self, source: str, target: str) -> asyncio.Event:
        """Set while bytes pass in a direction."""
        if (source, target) not in self._gates:
            gate = self._gates[source, target] = asyncio.Event()
            gate.set()
        return self._gates[source, target]

    def source_of(self, port: int) -> str:
        """The name of the process that has a connection from a port; "" if it is none of the cluster."""
        inode = _inode_of(port)
        for pid, name in self._pids().items():
            if inode is not None and inode in _sockets_of(pid):
                return name
        return ""

    async def _cancel(self, tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Proxy:
    """Before one port. It listens only while somebody listens behind it, so that connections to a process that has
    ended are refused as without it."""

    def __init__(self, links: Links, target: str, target_port: int, source: str | None) -> None:
        self._links = links
        self._target = target
        self._target_port = target_port
        self._source = source
        self._port = 0
        self._server: asyncio.Server | None = None
        self._waiting: asyncio.Task[None] | None = None

    async def listen(self) -> int:
        self._server = await asyncio.start_server(self._accept, HOST, self._port)
        self._port = int(self._server.sockets[0].getsockname()[1])
        return self._port

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        if self._waiting is not None:
            self._waiting.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        source = self._source
        if source is None:
            source = self._links.source_of(writer.get_extra_info("peername")[1])
        task = asyncio.current_task()
        assert task is not None
        self._links.connections[task] = source, self._target
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):  # cancelled by Links only
                await self._connect(reader, writer, source)
        finally:
            del self._links.connections[task]
            writer.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, source: str) -> None:
        try:
            target_reader, target_writer = await asyncio.open_connection(HOST, self._target_port)
        except OSError:
            self._refuse()
            return
        there = asyncio.ensure_future(_copy(reader, target_writer, self._links.gate(source, self._target)))
        back = asyncio.ensure_future(_copy(target_reader, writer, self._links.gate(self._target, source)))
        try:
            await asyncio.wait([there, back], return_when=asyncio.FIRST_COMPLETED)
            if back.done():
                await self._look()
        finally:
            there.cancel()
            back.cancel()
            target_writer.transport.abort()

    async def _look(self) -> None:
        """Stop listening if nobody listens behind this proxy any more."""
        try:
            _, writer = await asyncio.open_connection(HOST, self._target_port)
        except OSError:
            self._refuse()
        else:
            writer.transport.abort()

    def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
            self._waiting = asyncio.ensure_future(self._wait_for_target())

    async def _wait_for_target(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_INTERVAL_S)
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(HOST, self._target_port)
                writer.transport.abort()
                await self.listen()
                return


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event) -> None:
    """Until the end of the connection, which waits at the gate as data do."""
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK_BYTES):
            await gate.wait()
            writer.write(data)
            await writer.drain()
    await gate.wait()


def _inode_of(port: int) -> str | None:
    """The inode of the socket with a local port, of a connection over IPv4 or IPv6."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) == port and fields[3] == "01":  # established
                return fields[9]
    return None


def _sockets_of(pid: int) -> Iterator[str]:
    """Inodes of the sockets that a process has open."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                target = os.readlink(entry.path)
                if target.startswith("socket:["):
                    yield target[8:-1]
