"""A server as a child process of a command: started, started again when it ends by itself, stopped."""

from __future__ import annotations

import asyncio
import logging
import re
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.runtime.waits import wait_at_most

logger = logging.getLogger(__name__)

MAX_ENDS = 5
WINDOW_S = 60.0
"""A server that ends by itself more than :data:`MAX_ENDS` times within :data:`WINDOW_S` is not started again."""

FIRST_PAUSE_S = 0.2
MAX_PAUSE_S = 5.0
STOP_TIMEOUT_S = 30.0
"""How long a clean stop may take; then the process is killed."""

_READY = " is ready: bootstrap.servers="
_METRICS = re.compile(r"Metrics for Prometheus: http://(.*)/metrics")


class Announcement(NamedTuple):
    """What a server printed when it was ready.

    Attributes:
        pid: of its process.
        address: ``host:port`` of its first listener.
        metrics_address: ``host:port`` of its metrics, None without any.
    """

    pid: int
    address: str
    metrics_address: str | None

    @property
    def port(self) -> int:
        """Of the first listener."""
        return int(self.address.rpartition(":")[2])


class ChildServer:
    """Create it, :meth:`start` it, :meth:`stop` it, all on one event loop.

    The process gets a pipe as standard input and must stop at its end: then it ends with the present process, however
    that ends.

    Args:
        name: for messages.
        command: makes the command line of each start.
        ready: called when the server is ready, also after it was started again.
        failed: called when it ends too often.
    """

    def __init__(
        self,
        name: str,
        command: Callable[[], Sequence[str]],
        ready: Callable[[Announcement], object],
        failed: Callable[[FlussError], object],
    ) -> None:
        self._name = name
        self._command = command
        self._ready = ready
        self._failed = failed
        self._process: asyncio.subprocess.Process | None = None
        self._watching: asyncio.Task[None] | None = None
        self._stopping = False
        self._ends: deque[float] = deque()

    async def start(self) -> None:
        """Start it and wait until it is ready.

        Raises:
            FlussError: ``UNKNOWN_SERVER_ERROR`` when it ends before.
        """
        await self._launch()
        self._watching = asyncio.ensure_future(self._watch())

    async def stop(self) -> None:
        """Stop it with SIGTERM and wait for its end. May be called twice."""
        self._stopping = True
        if (watching := self._watching) is not None:
            watching.cancel()
            await asyncio.wait([watching])
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            await wait_at_most(_end_of(process), STOP_TIMEOUT_S)
        except asyncio.TimeoutError:
            logger.warning("%s does not stop and is killed", self._name)
            process.kill()
            await _end_of(process)

    async def _launch(self) -> None:
        self._process = process = await asyncio.create_subprocess_exec(
            *self._command(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the command, which stops its servers itself
        )
        assert process.stdout is not None
        metrics = None
        async for line in process.stdout:
            text = line.decode(errors="replace").strip()
            if (found := _METRICS.fullmatch(text)) is not None:
                metrics = found[1]
            _, ready, address = text.partition(_READY)
            if ready:
                self._ready(Announcement(process.pid, address, metrics))
                return
        await _end_of(process)
        raise FlussError(
            ErrorCode.UNKNOWN_SERVER_ERROR,
            f"{self._name} {_how_it_ended(process)} before it was ready",
            hint="its own message is above",
        )

    async def _watch(self) -> None:
        """Start it again whenever it ends."""
        while True:
            process = self._process
            assert process is not None, "it was started"
            await _end_of(process)
            now = time.monotonic()
            self._ends.append(now)
            while self._ends and now - self._ends[0] > WINDOW_S:
                self._ends.popleft()
            how = f"{self._name}, process {process.pid}, {_how_it_ended(process)}"
            if len(self._ends) > MAX_ENDS:
                self._failed(
                    FlussError(
                        ErrorCode.UNKNOWN_SERVER_ERROR,
                        f"{how}, for the {len(self._ends)}th time within {WINDOW_S:.0f} s",
                        hint="its own messages are above; the other servers are stopped, and everything is durable",
                    )
                )
                return
            logger.warning("%s; it is started again", how)
            await asyncio.sleep(min(FIRST_PAUSE_S * 2 ** (len(self._ends) - 1), MAX_PAUSE_S))
            try:
                await self._launch()
            except (FlussError, OSError) as error:
                logger.error("%s", error)


async def _end_of(process: asyncio.subprocess.Process) -> None:
    """Return when a process has ended; what it prints meanwhile is dropped."""
    assert process.stdout is not None
    while await process.stdout.read(1 << 16):
        pass
    await process.wait()


def _how_it_ended(process: asyncio.subprocess.Process) -> str:
    code = process.returncode
    if code is not None and code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
