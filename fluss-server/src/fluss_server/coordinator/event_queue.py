"""The coordinator's one queue of events: plan, write, apply, instruct, one event after the other.

Writes come before the messages that announce them, and the state in memory changes only when the store has confirmed:
an event whose write fails has no effect at all.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from fluss_server.coordinator.cluster_state import ClusterState
from fluss_server.coordinator.events import Event, Instruction, Plan, Transition
from fluss_server.coordinator.fencing import FencedStore, commit_steps
from fluss_server.coordinator.state_machine import plan
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.store import MetadataStore, StoreOperation, in_batches
from fluss_server.model.identifiers import TableBucket

logger = logging.getLogger(__name__)

MAX_WAITING_EVENTS = 10_000
STORY_LENGTH = 1_000

ELECTIONS = frozenset({"elect", "move-leader"})
"""Transitions that give a leader to a bucket."""


class PlannedWrites:
    """What an event writes. Whoever stores it calls :meth:`take`; what nobody takes is an error of the program."""

    def __init__(self, operations: Sequence[StoreOperation]) -> None:
        self._operations: Sequence[StoreOperation] = operations

    def __len__(self) -> int:
        """Operations that nobody has taken."""
        return len(self._operations)

    def take(self) -> Sequence[StoreOperation]:
        """All operations, to be stored in their order, and with what else belongs to the event."""
        operations, self._operations = self._operations, ()
        return operations


Commit = Callable[[PlannedWrites], Awaitable[None]]
"""Writes the operations of an event durably, together with others that belong to it."""


class StoryEntry(NamedTuple):
    """One line of the story log: which event led to which transition."""

    number: int
    event: str
    transition: Transition


class _Waiting(NamedTuple):
    event: Event
    commit: Commit
    done: asyncio.Future[object]


class EventQueue:
    """Owns the state of the cluster. Lives on one event loop.

    Args:
        store: where records go; its writes are fenced.
        state: as it was loaded.
        carry_out: called with each instruction of a confirmed plan; must not wait.

    Attributes:
        state: the confirmed state; read it, do not change it.
        elections: leaders that buckets got so far.
    """

    def __init__(self, store: MetadataStore, state: ClusterState, carry_out: Callable[[Instruction], None]) -> None:
        self.state = state
        self._store = store
        self._carry_out = carry_out
        self._waiting: deque[_Waiting] = deque()
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self.elections = 0
        self._events = 0
        self._story: deque[StoryEntry] = deque(maxlen=STORY_LENGTH)

    def __len__(self) -> int:
        """Events that wait, and the one that is being handled."""
        return len(self._waiting) + (self._task is not None)

    def story(self, bucket: TableBucket | None = None) -> list[StoryEntry]:
        """How things got where they are, oldest first; of one bucket, or of everything."""
        return [entry for entry in self._story if bucket is None or entry.transition.bucket == bucket]

    def submit(self, event: Event, commit: Commit | None = None) -> asyncio.Future[object]:
        """Handle an event after all earlier ones.

        Args:
            event: what happened.
            commit: writes the plan's operations; by default straight to the store. What it raises is the outcome.

        Returns:
            completes with the result of the plan when its instructions are given; cancelling it changes nothing. It
            fails with what the commit raised, ``NOT_COORDINATOR_LEADER_EXCEPTION`` after :meth:`close`, or
            ``REQUEST_TIME_OUT`` when too many events wait.
        """
        done: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        done.add_done_callback(_seen)
        if self._closed:
            done.set_exception(FlussError(ErrorCode.NOT_COORDINATOR_LEADER_EXCEPTION, "this coordinator has stopped"))
        elif len(self._waiting) >= MAX_WAITING_EVENTS:
            done.set_exception(
                FlussError(ErrorCode.REQUEST_TIME_OUT, f"{MAX_WAITING_EVENTS} changes of the cluster wait already")
            )
        else:
            self._waiting.append(_Waiting(event, commit or self._write, done))
            if self._task is None:
                self._task = asyncio.ensure_future(self._run())
        return done

    async def wait(self) -> None:
        """Return when every event that waits now is handled."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def close(self) -> None:
        """Handle what was submitted, and nothing any more."""
        self._closed = True
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            while self._waiting:
                waiting = self._waiting.popleft()
                try:
                    result = await self._handle(waiting)
                except BaseException as error:
                    if not isinstance(error, FlussError):
                        logger.error("event %s failed", type(waiting.event).__name__, exc_info=error)
                    if not waiting.done.done():
                        waiting.done.set_exception(error)
                    if isinstance(error, asyncio.CancelledError):
                        raise
                else:
                    if not waiting.done.done():
                        waiting.done.set_result(result)
        finally:
            self._task = None

    async def _handle(self, waiting: _Waiting) -> object:
        planned = plan(self.state, waiting.event)
        writes = PlannedWrites(planned.writes)
        await waiting.commit(writes)
        if writes:
            raise self._left_over(waiting.event, len(writes))
        self.state.apply(planned.changes)
        self._tell_story(waiting.event, planned)
        for instruction in planned.instructions:
            self._carry_out(instruction)
        return planned.result

    async def _write(self, writes: PlannedWrites) -> None:
        # The record of a bucket does not depend on that of another one, so any part of them may be stored.
        await commit_steps(self._store, in_batches(writes.take(), self._store.limits))

    def _left_over(self, event: Event, count: int) -> FlussError:
        """Something of the event is stored and something is not: only another start knows what there is."""
        logger.error("%d writes of event %s were not stored: the coordinator starts again", count, type(event).__name__)
        if isinstance(self._store, FencedStore):
            self._store.stop_writing()
        return FlussError(
            ErrorCode.NOT_COORDINATOR_LEADER_EXCEPTION,
            f"{count} writes of event {type(event).__name__} were not stored",
            hint="this is an error of the program; the coordinator starts again and reads what is stored",
        )

    def _tell_story(self, event: Event, planned: Plan) -> None:
        self._events += 1
        for transition in planned.transitions:
            self.elections += transition.name in ELECTIONS
            self._story.append(StoryEntry(self._events, type(event).__name__, transition))
            logger.debug("%s: %s %s %s", type(event).__name__, transition.bucket, transition.name, transition.detail)


def _seen(done: asyncio.Future[object]) -> None:
    if not done.cancelled():
        done.exception()  # the waiting caller may be gone
