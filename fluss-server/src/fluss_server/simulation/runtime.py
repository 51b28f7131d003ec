"""A whole machine in memory, and the run that owns it."""

from __future__ import annotations

import asyncio
import contextvars
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, TypeVar

from fluss_server.runtime import Lock, Runtime, WorkerPool
from fluss_server.runtime.waits import wait_at_most
from fluss_server.simulation.disk import SimulatedDisk
from fluss_server.simulation.event_loop import CURRENT_PROCESS, Process, SimulatedEventLoop
from fluss_server.simulation.network import SimulatedNetwork
from fluss_server.simulation.trace import Trace

_T = TypeVar("_T")

_MEMORY = "/dev/shm"  # where RocksDB does not wait for a real disk; what that keeps is decided by the simulated one

START_MS = 1_700_000_000_000
MAX_WORK_S = 0.001


class Simulation:
    """One run: machines, their network, and a loop with virtual time. One seed gives one run.

    Use it as a context manager; everything in it is gone afterwards.

    Args:
        seed: of every random choice.

    Attributes:
        loop: runs everything.
        trace: what happened.
        random: for the script of the run.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.trace = Trace()
        self.loop = SimulatedEventLoop()
        self.network = SimulatedNetwork(self.loop, self._split(), self.trace)
        self._scratch = Path(
            tempfile.mkdtemp(prefix="fluss-simulation-", dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None)
        )
        self._machines: dict[str, Machine] = {}

    def __enter__(self) -> Simulation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for machine in self._machines.values():
            machine.kill()
        self.loop.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def run(self, main: Coroutine[Any, Any, _T], *, limit_s: float = 3600.0) -> _T:
        """Run a coroutine to its end.

        Args:
            main: the script; it belongs to no process.
            limit_s: virtual seconds it may take.

        Raises:
            SimulationHangs: nothing is left to run, or time does not go on.
            TimeoutError: the limit is over.
        """
        return self.loop.run_until_complete(wait_at_most(main, limit_s))

    def machine(self, host: str) -> Machine:
        """The machine of that name, made at its first use."""
        if host not in self._machines:
            scratch = self._scratch / host
            scratch.mkdir()
            disk = SimulatedDisk(
                scratch, self._split(), on_change=lambda what, data: self.trace.add(self.loop.time(), host, what, data)
            )
            self._machines[host] = Machine(self, host, disk, self._split())
        return self._machines[host]

    def _split(self) -> Random:
        return Random(self.random.getrandbits(64))


class Machine:
    """A host with one disk, and at most one process at a time.

    Attributes:
        host: its name in the network.
        disk: outlives the processes.
        max_work_s: how long what is given to a pool of workers takes at most; more than usual for a slow disk.
    """

    def __init__(self, simulation: Simulation, host: str, disk: SimulatedDisk, random: Random) -> None:
        self.host = host
        self.disk = disk
        self.max_work_s = MAX_WORK_S
        self._simulation = simulation
        self._random = random
        self._process: Process | None = None
        self._starts = 0

    def runtime(self) -> Runtime:
        """A new process, and what it has of the machine. Run its code with :meth:`start`."""
        assert self._process is None or not self._process.alive, "one process at a time"
        loop = self._simulation.loop
        self._starts += 1
        self._process = process = loop.process(f"{self.host}#{self._starts}")
        view = self.disk.view()
        process.on_kill(view.detach)
        return Runtime(
            clock=_Clock(loop),
            disk=view,
            network=self._simulation.network.view(process, self.host),
            workers=_Workers(loop, Random(self._random.getrandbits(64)), self),
            random=Random(self._random.getrandbits(64)),
            secrets=_Secrets(Random(self._random.getrandbits(64))),
            environment={},
        )

    def start(self, main: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Run a coroutine in the process of the last :meth:`runtime`."""
        assert self._process is not None, "make a runtime first"
        context = contextvars.copy_context()
        context.run(CURRENT_PROCESS.set, self._process)
        return context.run(lambda: self._simulation.loop.create_task(main))

    def pause(self) -> bool:
        """SIGSTOP: nothing in the process runs until :meth:`resume`; returns whether there is one that ran."""
        process = self._process
        if process is None or not process.alive or process.is_paused:
            return False
        self._simulation.trace.add(self._simulation.loop.time(), process.name, "paused")
        process.pause()
        return True

    def resume(self) -> None:
        """SIGCONT."""
        if self._process is not None and self._process.is_paused:
            self._simulation.trace.add(self._simulation.loop.time(), self._process.name, "resumed")
            self._process.resume(self._simulation.loop)

    def kill(self) -> None:
        """SIGKILL: the process is gone; what it handed to the system stays."""
        if self._end("killed"):
            self.disk.kill_processes()

    def lose_power(self) -> None:
        """The machine goes off and on: the process is gone, and so is what was not synced."""
        if self._end("lost power"):
            self.disk.lose_power()

    def _end(self, how: str) -> bool:
        process, self._process = self._process, None
        if process is None or not process.alive:
            return False
        self._simulation.trace.add(self._simulation.loop.time(), process.name, how)
        process.kill()
        return True


class _Clock:
    """See :class:`fluss_server.runtime.clock.Clock`."""

    def __init__(self, loop: SimulatedEventLoop) -> None:
        self._loop = loop
        self.monotonic: Callable[[], float] = loop.time

    def now_ms(self) -> int:
        return START_MS + int(self._loop.time() * 1000)

    def sleep(self, seconds: float) -> None:
        self._loop.advance(seconds)


class _Secrets:
    """See :class:`fluss_server.runtime.randomness.Secrets`."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def token(self, size: int) -> bytes:
        return self._random.randbytes(size)


class _Workers:
    """Work of pools runs as callbacks of the loop, some time later, so that it interleaves with everything else."""

    def __init__(self, loop: SimulatedEventLoop, random: Random, machine: Machine) -> None:
        self._loop = loop
        self._random = random
        self._machine = machine

    def pool(self, name: str, threads: int) -> WorkerPool:
        return _Pool(self._loop, Random(self._random.getrandbits(64)), threads, self._machine)

    def lock(self) -> Lock:
        return threading.Lock()

    def reentrant_lock(self) -> Lock:
        return threading.RLock()


class _Pool:
    """See :class:`fluss_server.runtime.workers.WorkerPool`."""

    def __init__(self, loop: SimulatedEventLoop, random: Random, threads: int, machine: Machine) -> None:
        self._loop = loop
        self._random = random
        self._machine = machine
        self._free_at = [0.0] * threads
        self._pending = 0

    def run(self, function: Callable[..., _T], *arguments: object) -> asyncio.Future[_T]:
        future: asyncio.Future[_T] = self._loop.create_future()

        def work() -> None:
            if future.cancelled():
                return
            try:
                result = function(*arguments)
            except Exception as error:
                if not future.cancelled():
                    future.set_exception(error)
            else:
                if not future.cancelled():
                    future.set_result(result)

        self.submit(work)
        return future

    def submit(self, function: Callable[[], object]) -> None:
        thread = min(range(len(self._free_at)), key=self._free_at.__getitem__)
        begin = max(self._free_at[thread], self._loop.time())
        self._free_at[thread] = begin + self._random.random() * self._machine.max_work_s
        self._loop.call_at(self._free_at[thread], function)

    def close(self) -> None:
        """Nothing to wait for: what was given runs later."""
