"""How the buckets of a rebalance move. Pure, a part of the state machine.

::

                  start               new replicas in the ISR        new leader active
    NOT_STARTED ────────► old + new ──────────────────────► leader ────────────────► new replicas only: COMPLETED
                              │                             moves
                              └── cancel, or a server is gone for too long ──► the best of both: CANCELED, FAILED

While a bucket has its old *and* its new replicas, its assignment is *joint*: the new ones, and then the others. Each
step is stored before it is told, and the next one follows from what is stored, so a coordinator can be replaced at any
time.

* A replica is removed only when as many as before are in sync without it; the leader never is. A bucket waits for the
  replicas that it keeps, too, before it loses one that is in sync.
* A time-out alone ends nothing: the bucket is shown as TIMEOUT and goes on. When a server that it needs is gone, or the
  new leader cannot lead, the move is undone. Replicas that are in sync stay as far as the number of replicas allows.
* A server takes part in few moves at a time; see ``ClusterState.moves_per_server``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from fluss_server.cluster.messages import NO_LEADER
from fluss_server.coordinator.cluster_state import BucketState, Draft, MoveState, Rebalance
from fluss_server.coordinator.elections import with_leader
from fluss_server.coordinator.events import MovesAreLate, RebalanceCanceled, RebalanceRequested
from fluss_server.coordinator.rebalance_plan import PlannedBucket, PlannedServer, RebalanceGoal, plan_rebalance
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.rebalance_records import BucketMove, RebalanceStatus
from fluss_server.metadata.records import LeaderAndIsrRecord
from fluss_server.model.identifiers import TableBucket

MAX_MOVES = 4_000
"""Buckets of one rebalance, so that its node stays below a megabyte; the next one moves the others."""


class Steps(Protocol):
    """What a move does, as the plan of an event has it."""

    def write(self, bucket: TableBucket, record: LeaderAndIsrRecord, name: str) -> None:
        """Store another record of a bucket and announce it to its replicas."""

    def move_leader(self, bucket: TableBucket, leader: int) -> None:
        """Let another replica lead, from when the present leader has heard of it."""

    def assign(self, bucket: TableBucket, replicas: tuple[int, ...]) -> None:
        """Store another assignment."""

    def remove_replica(self, server_id: int, bucket: TableBucket) -> None:
        """Tell a server to delete its replica."""

    def available(self, bucket: TableBucket, state: BucketState) -> list[int]:
        """Replicas that can lead a bucket."""

    def note(self, bucket: TableBucket | None, name: str, detail: str) -> None:
        """For the story log."""


def planning(
    draft: Draft, goals: Sequence[RebalanceGoal], replaced: Collection[int] = ()
) -> Callable[[], tuple[BucketMove, ...]]:
    """Finds out what a rebalance would move; see :func:`plan_rebalance`. It may be called in another thread."""
    tags = draft.tags()
    servers = [
        PlannedServer(server.node.server_id, server.node.rack, server.node.server_id in tags)
        for server in draft.servers()
        if not server.shutting_down
    ]
    live = {server.server_id for server in servers}
    under_way = set(draft.moving())
    buckets = {
        bucket: PlannedBucket(state.replicas, state.leader)
        for bucket, state in draft.buckets().items()
        if state.leader in state.replicas and state.leader in live and bucket not in under_way
    }
    return partial(plan_rebalance, servers, buckets, goals, replaced=replaced, max_moves=MAX_MOVES)


def settled(state: BucketState, origin: Sequence[int], live: Collection[int]) -> tuple[int, ...]:
    """The replicas that a bucket keeps when its move ends early: as many as before, those in sync first.

    Args:
        state: with a joint assignment.
        origin: the assignment before the move.
        live: servers that are members.
    """
    assert state.record is not None, "it has a leader"
    isr, leader = state.record.isr, state.record.leader
    ranked = sorted(
        state.replicas,
        key=lambda server: (server != leader, server not in isr, server not in origin, server not in live),
    )
    kept = set(ranked[: len(origin)])
    return (
        *(server for server in origin if server in kept),
        *(server for server in state.replicas if server in kept and server not in origin),
    )


class Reassignments:
    """The part of a plan that is about the rebalance.

    Args:
        draft: of the event.
        steps: of the event.
    """

    def __init__(self, draft: Draft, steps: Steps) -> None:
        self._draft = draft
        self._steps = steps

    # ------------------------------------------------------------------ events

    def request(self, event: RebalanceRequested) -> int:
        """Begin a rebalance. One that replaces servers begins only if there is something to move.

        Returns:
            how many buckets it moves.

        Raises:
            FlussError: ``REBALANCE_FAILURE_EXCEPTION`` when one runs, or there is no plan.
        """
        current = self._draft.rebalance
        if current is not None and not current.status.is_final:
            raise FlussError(
                ErrorCode.REBALANCE_FAILURE_EXCEPTION,
                f"rebalance {current.rebalance_id} is under way",
                hint="wait until it is complete, or cancel it",
            )
        if event.moves is None:
            moves = planning(self._draft, event.goals, event.replaced)()
        else:  # planned from the state a little while ago
            moves = tuple(move for move in event.moves if self._is_current(move))
        if event.replaced and not moves:
            return 0
        for bucket in list(self._draft.moves()):
            self._draft.put_move(bucket, None)
        for move in moves:
            self._draft.put_move(move.bucket, MoveState(move, RebalanceStatus.NOT_STARTED))
        self._draft.put_rebalance(Rebalance(event.rebalance_id, RebalanceStatus.REBALANCING))
        self._steps.note(None, "rebalance", f"{event.rebalance_id}: {len(moves)} buckets")
        return len(moves)

    def _is_current(self, move: BucketMove) -> bool:
        state = self._draft.bucket(move.bucket)
        return state is not None and (state.replicas, state.leader) == (move.origin_replicas, move.original_leader)

    def cancel(self, event: RebalanceCanceled) -> None:
        """Move nothing more; buckets that have old and new replicas keep as many as they had.

        Raises:
            FlussError: ``NO_REBALANCE_IN_PROGRESS_EXCEPTION`` when another one is the current one.
        """
        current = self._draft.rebalance
        if event.rebalance_id is not None and (current is None or event.rebalance_id != current.rebalance_id):
            raise no_rebalance(event.rebalance_id)
        if current is None or current.status.is_final:
            return
        self._draft.put_rebalance(current._replace(status=RebalanceStatus.CANCELED))
        for bucket, move in list(self._draft.moves().items()):
            if move.is_under_way:
                self._end_early(bucket, RebalanceStatus.CANCELED)
            elif move.status is RebalanceStatus.NOT_STARTED:
                self._draft.put_move(bucket, move._replace(status=RebalanceStatus.CANCELED))
        self._steps.note(None, "rebalance-canceled", current.rebalance_id)

    def late(self, event: MovesAreLate) -> None:
        """End what cannot go on; what can, goes on."""
        for bucket in event.buckets:
            move = self._draft.move(bucket)
            if move is None or move.status.is_final:
                continue
            if not move.is_under_way:
                state = self._draft.bucket(bucket)
                has_no_leader = state is not None and state.leader == NO_LEADER
                if has_no_leader or not self._live() >= set(move.move.new_replicas):
                    self._draft.put_move(bucket, move._replace(status=RebalanceStatus.FAILED))
            elif self._is_hopeless(bucket, move.move):
                self._end_early(bucket, RebalanceStatus.FAILED)
            else:
                self._draft.put_move(bucket, move._replace(status=RebalanceStatus.TIMEOUT))

    def advance(self, *, start_more: bool) -> None:
        """Take every step that is possible now.

        Args:
            start_more: look for buckets that can begin, also when none has come to its end.
        """
        current = self._draft.rebalance
        if current is None:
            return
        moving = self._draft.moving()
        if current.status.is_final:
            for bucket in moving:  # the coordinator before this one has not come so far
                self._end_early(bucket, RebalanceStatus.CANCELED)
            return
        finished = sum([self._step(bucket) for bucket in moving])
        if finished or start_more:
            self._start_more()
        if not self._draft.moving():
            self._finish(current)

    # ------------------------------------------------------------------ one bucket

    def _start_more(self) -> None:
        busy: Counter[int] = Counter()
        for bucket in self._draft.moving():
            found = self._draft.move(bucket)
            assert found is not None, "it is under way"
            busy.update(_involved(found.move))
        for bucket, move in list(self._draft.moves().items()):
            if move.status is not RebalanceStatus.NOT_STARTED:
                continue
            involved = _involved(move.move)
            if any(busy[server] >= self._draft.moves_per_server for server in involved):
                continue
            if self._start(bucket, move):
                busy.update(involved)

    def _start(self, bucket: TableBucket, move: MoveState) -> bool:
        """Give a bucket its new replicas beside the old ones, if possible; returns whether it is under way now."""
        state = self._draft.bucket(bucket)
        if state is None or state.record is None:
            self._draft.put_move(bucket, move._replace(status=RebalanceStatus.COMPLETED))
            return False
        target, origin = move.move.new_replicas, move.move.origin_replicas
        if set(state.replicas) != set(origin) and set(state.replicas) != set(target):
            self._draft.put_move(bucket, move._replace(status=RebalanceStatus.FAILED))
            return False
        needed = (set(target) - set(state.replicas)) | {move.move.new_leader}
        if state.leader == NO_LEADER or not needed <= self._live():
            return False
        self._draft.put_move(bucket, move._replace(status=RebalanceStatus.REBALANCING))
        joint = (*target, *(server for server in state.replicas if server not in target))
        if joint != state.replicas:
            self._steps.assign(bucket, joint)
            record = state.record
            if record.standby_replicas and move.move.new_leader in record.isr:  # it prepares its rows meanwhile
                record = replace(record, standby_replicas=(move.move.new_leader,))
            # A log without followers has no history of epochs; the one that begins now is its first.
            changed = (
                with_leader(record, record.leader)
                if len(state.replicas) == 1 and len(joint) > 1
                else replace(record, bucket_epoch=record.bucket_epoch + 1)
            )
            self._steps.write(bucket, changed, "expand")
        return not self._step(bucket)

    def _step(self, bucket: TableBucket) -> bool:
        """Go on with a bucket as far as it goes; returns whether it has come to its end."""
        found, state = self._draft.move(bucket), self._draft.bucket(bucket)
        assert found is not None, "it is under way"
        move = found.move
        if state is None or state.record is None:  # its table is gone
            self._draft.put_move(bucket, found._replace(status=RebalanceStatus.COMPLETED))
            return True
        added = set(move.new_replicas) - set(move.origin_replicas)
        if not added | {move.new_leader} <= set(state.record.isr):
            return False
        if state.leader != move.new_leader:
            if state.leader != NO_LEADER and move.new_leader in self._steps.available(bucket, state):
                self._steps.move_leader(bucket, move.new_leader)
            return False
        if not state.active or _awaited(state.record, move):
            return False
        self._shrink(bucket, state, move.new_replicas)
        self._draft.put_move(bucket, found._replace(status=RebalanceStatus.COMPLETED))
        return True

    def _is_hopeless(self, bucket: TableBucket, move: BucketMove) -> bool:
        state = self._draft.bucket(bucket)
        if state is None or state.record is None:
            return False  # the next step ends it
        needed = (set(move.new_replicas) - set(move.origin_replicas)) | {move.new_leader} | _awaited(state.record, move)
        failed = self._draft.failure(move.new_leader, bucket) is not None
        return state.leader == NO_LEADER or failed or not needed <= self._live()

    def _end_early(self, bucket: TableBucket, status: RebalanceStatus) -> None:
        """End the move of a bucket as it is, with one set of replicas."""
        found, state = self._draft.move(bucket), self._draft.bucket(bucket)
        assert found is not None, "it is under way"
        if state is not None and state.record is not None:
            move = found.move
            has_moved = state.leader not in move.origin_replicas and state.leader in move.new_replicas
            self._shrink(
                bucket, state, settled(state, move.new_replicas if has_moved else move.origin_replicas, self._live())
            )
        self._draft.put_move(bucket, found._replace(status=status))

    def _shrink(self, bucket: TableBucket, state: BucketState, replicas: tuple[int, ...]) -> None:
        record = state.record
        assert record is not None, "it has a leader"
        if replicas != state.replicas:
            self._steps.assign(bucket, replicas)
        removed = [server for server in state.replicas if server not in replicas]
        if not removed:
            return
        isr = tuple(server for server in record.isr if server in replicas)
        standby = tuple(server for server in record.standby_replicas if server in replicas)
        changed = replace(record, isr=isr, standby_replicas=standby, bucket_epoch=record.bucket_epoch + 1)
        self._steps.write(bucket, changed, "shrink")
        for server in removed:
            self._steps.remove_replica(server, bucket)

    # ------------------------------------------------------------------ parts

    def _live(self) -> set[int]:
        return {server.node.server_id for server in self._draft.servers() if not server.shutting_down}

    def _finish(self, current: Rebalance) -> None:
        statuses = {move.status for move in self._draft.moves().values()}
        if RebalanceStatus.NOT_STARTED in statuses:
            return
        status = RebalanceStatus.FAILED if RebalanceStatus.FAILED in statuses else RebalanceStatus.COMPLETED
        self._draft.put_rebalance(current._replace(status=status))
        self._steps.note(None, "rebalance-ended", f"{current.rebalance_id}: {status.name}")


def no_rebalance(rebalance_id: str) -> FlussError:
    """``NO_REBALANCE_IN_PROGRESS_EXCEPTION``."""
    return FlussError(
        ErrorCode.NO_REBALANCE_IN_PROGRESS_EXCEPTION,
        f"rebalance {rebalance_id} is not the current one",
        hint="leave the id out for the current one",
    )


def _awaited(record: LeaderAndIsrRecord, move: BucketMove) -> set[int]:
    """Replicas that have to be in sync before a bucket may lose others that are: none when it loses no such one."""
    return set(move.new_replicas) - set(record.isr) if set(record.isr) - set(move.new_replicas) else set()


def _involved(move: BucketMove) -> set[int]:
    """Servers that a move costs something."""
    servers = set(move.origin_replicas) ^ set(move.new_replicas)
    return servers if move.original_leader == move.new_leader else servers | {move.original_leader, move.new_leader}
