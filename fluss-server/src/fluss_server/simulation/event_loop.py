"""A deterministic event loop with virtual time.

Time stands still while callbacks run and jumps to the next timer when none is ready, so a simulated minute takes as
long as the work in it. There are no sockets, signals or threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

from fluss_server.errors import ErrorCode, FlussError

MAX_ITERATIONS_AT_ONE_TIME = 100_000
"""Iterations without progress of time after which a run counts as hung."""


class SimulationHangs(FlussError):
    """Nothing is left to run although the main task has not ended, or time does not go on any more."""

    def __init__(self, message: str) -> None:
        super().__init__(ErrorCode.UNKNOWN_SERVER_ERROR, message)


class Process:
    """One simulated operating-system process: whatever is started in it ends with it.

    Everything that its code schedules carries the process in the context. After :meth:`kill` none of that runs any
    more, not even ``finally`` blocks, as after SIGKILL.

    Attributes:
        name: for traces.
        alive: False after :meth:`kill`.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self._tasks: set[asyncio.Task[Any]] = set()
        self._on_kill: list[Callable[[], None]] = []
        self._held: list[Callable[[], object]] | None = None  # what a paused process would have done

    def __repr__(self) -> str:
        return f"Process({self.name})"

    def on_kill(self, action: Callable[[], None]) -> None:
        """Have ``action`` called when the process is killed: what the operating system does then."""
        self._on_kill.append(action)

    @property
    def is_paused(self) -> bool:
        """Whether it stands still."""
        return self._held is not None

    def pause(self) -> None:
        """Let it stand still, as after SIGSTOP: nothing in it runs, and time goes on."""
        if self._held is None:
            self._held = []

    def resume(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let it go on, as after SIGCONT; what came meanwhile, timers too, runs next in the same order."""
        held, self._held = self._held, None
        for action in held or ():
            loop.call_soon(self.run, action, context=contextvars.Context())

    def run(self, action: Callable[[], object]) -> None:
        """Have something run in it: now, or when it goes on; never after :meth:`kill`."""
        if self._held is not None:
            self._held.append(action)
        elif self.alive:
            action()

    def kill(self) -> None:
        """End it at once."""
        if not self.alive:
            return
        self.alive = False
        self._held = None
        actions, self._on_kill = self._on_kill, []
        for action in actions:
            action()

    def discard_tasks(self) -> None:
        """End what is held, at the end of a run: ``finally`` blocks run now, and reach nothing any more."""
        for task in self._tasks:
            with contextlib.suppress(BaseException):
                task.get_coro().close()
        self._tasks.clear()

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Hold a task: the coroutine of a collected one would run its ``finally`` blocks."""
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


CURRENT_PROCESS: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)


class SimulatedEventLoop(asyncio.BaseEventLoop):
    """See the module. Create one for each run and close it at its end."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._idle_iterations = 0
        self._selector = self  # asyncio waits in its selector: here that is a jump in time
        self._kept: list[Process] = []
        self.set_task_factory(_task_factory)  # type: ignore[arg-type]

    def time(self) -> float:
        """Virtual seconds since the run began."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass within a callback: a worker that blocks."""
        self._now += seconds

    def process(self, name: str) -> Process:
        """A new process."""
        process = Process(name)
        self._kept.append(process)
        return process

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        context = contextvars.copy_context() if context is None else context  # an empty one is not true
        process = context.get(CURRENT_PROCESS, None)
        if process is None:
            return super().call_soon(callback, *args, context=context)
        return super().call_soon(_run_if_alive, process, callback, args, context=context)

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        context = contextvars.copy_context() if context is None else context  # an empty one is not true
        process = context.get(CURRENT_PROCESS, None)
        if process is None:
            return super().call_at(when, callback, *args, context=context)
        return super().call_at(when, _run_if_alive, process, callback, args, context=context)

    def close(self) -> None:
        """End the run."""
        before = logging.root.manager.disable
        logging.disable()
        try:
            for process in self._kept:
                process.kill()
                process.discard_tasks()
        finally:
            logging.disable(before)
        super().close()

    # ---- what BaseEventLoop expects of a subclass

    def select(self, timeout: float | None) -> list[Any]:
        """The selector's part: nothing to wait for but time."""
        if timeout is None:
            raise SimulationHangs(f"nothing is left to run at {self._now:.3f} s, and the main task has not ended")
        if timeout > 0:
            self._now += timeout
            self._idle_iterations = 0
        else:
            self._idle_iterations += 1
            if self._idle_iterations > MAX_ITERATIONS_AT_ONE_TIME:
                raise SimulationHangs(f"time does not go on at {self._now:.3f} s")
        return []

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass


def _run_if_alive(process: Process, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
    if process.is_paused:
        process.run(partial(contextvars.copy_context().run, callback, *args))
    elif process.alive:
        callback(*args)


def _task_factory(
    loop: asyncio.AbstractEventLoop, coroutine: Generator[Any, None, Any], **options: Any
) -> asyncio.Task[Any]:
    task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **options)
    context = options.get("context")
    process = (contextvars.copy_context() if context is None else context).get(CURRENT_PROCESS, None)
    if process is not None:
        process.keep(task)
    return task
