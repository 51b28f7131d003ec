"""A deterministic event loop with virtual time.

Time stands still while callbacks run and jumps to the next timer when none is ready, so a simulated minute takes as
long as the work in it. There are no sockets, signals or threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
from collections import deque
from collections.abc import Callable, Generator
from functools import partial
from heapq import heapify, heappop, heappush
from typing import Any

from fluss_server.errors import ErrorCode, FlussError

TIMER_RESOLUTION_S = 1e-9
MIN_KEPT_TASKS = 256
"""Tasks of a process among which those that are done are not looked for."""

MIN_CANCELLED_TIMERS = 100
"""So many may stay in the heap; more are removed when they are half of it."""

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
        runs: whether it is alive and does not stand still.
        context: for callbacks of the system in the process; each gets a copy.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.runs = True
        self.context = contextvars.Context()
        self.context.run(CURRENT_PROCESS.set, self)
        self._tasks: list[asyncio.Task[Any]] = []
        self._tasks_before_cleanup = MIN_KEPT_TASKS
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
            self._held, self.runs = [], False

    def resume(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let it go on, as after SIGCONT; what came meanwhile, timers too, runs next in the same order."""
        held, self._held = self._held, None
        self.runs = self.alive
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
        self.alive = self.runs = False
        self._held = None
        actions, self._on_kill = self._on_kill, []
        for action in actions:
            action()

    def discard_tasks(self) -> None:
        """End what is held, at the end of a run: ``finally`` blocks run now, and reach nothing any more."""
        while self._tasks:
            with contextlib.suppress(BaseException):
                self._tasks.pop().get_coro().close()

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Hold a task: the coroutine of a collected one would run its ``finally`` blocks."""
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        self._tasks.append(task)
        if len(self._tasks) >= self._tasks_before_cleanup:
            self._tasks = [kept for kept in self._tasks if not kept.done()]
            self._tasks_before_cleanup = max(MIN_KEPT_TASKS, 2 * len(self._tasks))


CURRENT_PROCESS: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)


class SimulatedEventLoop(asyncio.BaseEventLoop):
    """See the module. Create one for each run and close it at its end."""

    _stopping: bool

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._idle_iterations = 0
        self._calls: deque[_Call] = deque()
        self._timers: list[tuple[float, int, _Call]] = []  # a heap; what is due at the same time runs in order
        self._timer_number = 0
        self.cancelled_timers = 0
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
        call = _Call(self, callback, args, context, self._now, waits=False)
        self._calls.append(call)
        return call

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        context = contextvars.copy_context() if context is None else context  # an empty one is not true
        timer = _Call(self, callback, args, context, when, waits=True)
        self._timer_number += 1
        heappush(self._timers, (when, self._timer_number, timer))
        return timer

    def close(self) -> None:
        """End the run."""
        before = logging.root.manager.disable
        logging.disable()
        ending = self.process("end of the run")  # has what ``finally`` blocks start
        asyncio._set_running_loop(self)
        current = CURRENT_PROCESS.set(ending)
        try:
            for process in self._kept:
                process.kill()
                process.discard_tasks()
        finally:
            CURRENT_PROCESS.reset(current)
            asyncio._set_running_loop(None)
            logging.disable(before)
        self._calls.clear()
        self._timers.clear()
        super().close()

    # ---- what BaseEventLoop expects of a subclass

    def _run_once(self) -> None:
        """Iterations until the loop is stopped: what is ready runs, and then the timers that are due become ready."""
        calls, timers = self._calls, self._timers
        while True:
            if self.cancelled_timers > MIN_CANCELLED_TIMERS and self.cancelled_timers > len(timers) // 2:
                timers[:] = [timer for timer in timers if not timer[2]._cancelled]
                heapify(timers)
                self.cancelled_timers = 0
            while timers and timers[0][2]._cancelled:
                heappop(timers)
                self.cancelled_timers -= 1
            self._wait(timers[0][0] if timers else None)
            end = self._now + TIMER_RESOLUTION_S
            while timers and timers[0][0] < end:
                timer = heappop(timers)[2]
                timer.waits = False
                calls.append(timer)
            for _ in range(len(calls)):
                calls.popleft().run()
            if self._stopping:
                return

    def _wait(self, next_timer: float | None) -> None:
        """Nothing to wait for but time: when nothing is ready it jumps to the next timer."""
        if not self._calls:
            if next_timer is None:
                raise SimulationHangs(f"nothing is left to run at {self._now:.3f} s, and the main task has not ended")
            if next_timer > self._now:
                self._now = next_timer
                self._idle_iterations = 0
                return
        self._idle_iterations += 1
        if self._idle_iterations > MAX_ITERATIONS_AT_ONE_TIME:
            raise SimulationHangs(f"time does not go on at {self._now:.3f} s")

    def _write_to_self(self) -> None:
        pass


class _Call(asyncio.TimerHandle):
    """A callback, ready or later, of a process or of none.

    Attributes:
        process: that it belongs to.
        waits: whether it is among the timers.
    """

    __slots__ = ("process", "waits")

    _loop: SimulatedEventLoop
    _callback: Callable[..., object] | None
    _context: contextvars.Context

    def __init__(
        self,
        loop: SimulatedEventLoop,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: contextvars.Context,
        when: float,
        *,
        waits: bool,
    ) -> None:
        # without the base class, which looks for the mode of debugging: a run has a hundred thousand of these
        self._loop = loop
        self._callback = callback
        self._args = args
        self._context = context
        self._cancelled = False
        self._repr = None
        self._source_traceback = None
        self._when = when
        self.process: Process | None = context.get(CURRENT_PROCESS)
        self.waits = waits

    def cancel(self) -> None:
        if not self._cancelled:
            self._cancelled = True
            self._callback, self._args = None, ()
            self._loop.cancelled_timers += self.waits

    def run(self) -> None:
        """Call it, unless its process has ended or stands still."""
        process = self.process
        if self._cancelled:
            return
        if process is None or process.runs:
            assert self._callback is not None, "it is not cancelled"
            try:
                self._context.run(self._callback, *self._args)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                self._loop.call_exception_handler(
                    {"message": f"Exception in callback {self._callback}", "exception": error, "handle": self}
                )
        elif process.is_paused:
            assert self._callback is not None, "it is not cancelled"
            process.run(partial(self._context.copy().run, self._callback, *self._args))


def _task_factory(
    loop: asyncio.AbstractEventLoop, coroutine: Generator[Any, None, Any], **options: Any
) -> asyncio.Task[Any]:
    task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **options)
    context = options.get("context")
    process = CURRENT_PROCESS.get() if context is None else context.get(CURRENT_PROCESS)
    if process is not None:
        process.keep(task)
    return task
