"""Partitions that come and go with time: a pure function decides which, a background task when."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from fluss_server.coordinator.catalog import MetadataManager
from fluss_server.coordinator.partition_rules import is_auto_partitioned, strategy_of
from fluss_server.coordinator.partitions import PartitionExecutor
from fluss_server.errors import FlussError
from fluss_server.metadata.tasks import UninterruptedTasks
from fluss_server.model.partition import HISTORICAL, SEPARATOR
from fluss_server.model.table import TableInfo
from fluss_server.runtime.clock import Clock

if TYPE_CHECKING:
    from fluss_server.coordinator.partition_time import AutoPartitionStrategy

logger = logging.getLogger(__name__)

MAX_DELAY_MINUTES = 23 * 60
"""Tables with a partition per day get their new ones spread over this much of the day."""

FIRST_PARTITIONS_WAIT_S = 5.0
"""How long the creator of a table waits for its first partitions; later ones come without anybody waiting."""

_MINUTE_MS = 60_000


class PartitionPlan(NamedTuple):
    """What to do to the partitions of a table.

    Attributes:
        drops: names of expired partitions, oldest first.
        creates: names of missing partitions, oldest first.
    """

    drops: tuple[str, ...] = ()
    creates: tuple[str, ...] = ()


def plan_partitions(
    strategy: AutoPartitionStrategy, names: Iterable[str], *, now_ms: int, create_ms: int, max_partitions: int
) -> PartitionPlan:
    """Decide which partitions of a table to drop and which to create.

    Every partition goes whose time value is smaller, as text, than that of the oldest partition to keep, even if the
    value is no time at all. With several partition columns nothing is created, since the other values are not known.

    Args:
        strategy: of the table; nothing is done unless it is enabled.
        names: the partitions there are.
        now_ms: epoch milliseconds that decide what is expired.
        create_ms: epoch milliseconds that new partitions begin with, ``now_ms`` or a little earlier.
        max_partitions: most partitions that a table may have.
    """
    if not strategy.enabled:
        return PartitionPlan()
    existing = set(names)
    oldest = strategy.oldest_kept(now_ms) or ""
    drops = sorted(
        (value, name)
        for name in existing
        if (value := _time_value(name, strategy.key_index)) < oldest and value != HISTORICAL
    )
    creates = []
    if strategy.key_count == 1:
        for offset in range(min(strategy.precreate, max_partitions)):
            name = strategy.name(create_ms, offset)
            if name is None:
                break
            if name not in existing and name >= oldest and name not in creates:
                creates.append(name)
    return PartitionPlan(tuple(name for _, name in drops), tuple(creates))


def _time_value(name: str, index: int) -> str:
    return name.split(SEPARATOR)[index]


class AutoPartitionManager:
    """Looks at the auto-partitioned tables from time to time, and at once at those that are new or altered.

    Args:
        manager: loaded.
        executor: makes the changes.
        interval_s: seconds between two passes over all tables.
        randrange: a random number below a bound, for the delay of each table with a partition per day.
    """

    def __init__(
        self,
        manager: MetadataManager,
        executor: PartitionExecutor,
        clock: Clock,
        *,
        interval_s: float,
        randrange: Callable[[int], int],
    ) -> None:
        self._manager = manager
        self._executor = executor
        self._clock = clock
        self._interval_s = interval_s
        self._randrange = randrange
        self._delays_ms: dict[int, int] = {}
        self._task: asyncio.Task[None] | None = None
        self._forced = UninterruptedTasks()
        self._closing = False

    def start(self) -> None:
        """Begin with a pass at once."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """End, once the change of a partition that has begun is made."""
        self._closing = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._forced.wait()

    async def table_changed(self, table: TableInfo) -> None:
        """A table is new or altered: bring its partitions up to date; returns after some seconds if that takes long."""
        if is_auto_partitioned(table):
            work = asyncio.ensure_future(self._forced.run(self.update_table(table, forced=True)))
            await asyncio.wait([work], timeout=FIRST_PARTITIONS_WAIT_S)

    async def update_all(self) -> None:
        """One pass over all tables."""
        tables = [table for table in self._manager.tables() if is_auto_partitioned(table)]
        for gone in self._delays_ms.keys() - {table.table_id for table in tables}:
            del self._delays_ms[gone]
        for table in tables:
            await self.update_table(table, forced=False)
            await asyncio.sleep(0)  # many tables must not hold up the event loop

    async def update_table(self, table: TableInfo, *, forced: bool) -> None:
        """Drop and create what is due in one table. What fails is logged, and tried again in the next pass.

        Args:
            table: auto-partitioned.
            forced: do not delay new partitions.
        """
        try:
            strategy = strategy_of(table, self._executor.zone)
        except FlussError as error:  # a tree that another server wrote may have what this one would have refused
            logger.warning("partitions of table %s cannot be kept up to date: %s", table.path, error)
            return
        now_ms = self._clock.now_ms()
        plan = plan_partitions(
            strategy,
            [partition.name for partition in self._manager.partitions(table)],
            now_ms=now_ms,
            create_ms=now_ms if forced else now_ms - self._delay_ms(table, strategy),
            max_partitions=self._executor.max_partitions,
        )
        for name in plan.drops:
            if not self._is_current(table):
                return
            await self._try(table, name, drop=True)
        for name in plan.creates:
            if not self._is_current(table):
                return
            await self._try(table, name, drop=False)

    async def _try(self, table: TableInfo, name: str, *, drop: bool) -> None:
        try:
            if drop:
                await self._executor.drop_named(table, name, ignore_if_not_exists=True)
            else:
                await self._executor.create_named(table, name, ignore_if_exists=True)
        except Exception as error:
            logger.warning(
                "partition %s of table %s could not be %s: %s",
                name,
                table.path,
                "dropped" if drop else "created",
                error,
                exc_info=not isinstance(error, FlussError),
            )

    def _is_current(self, table: TableInfo) -> bool:
        """Whether the table is neither gone nor altered; a change brings a pass of its own."""
        return not self._closing and self._manager.table_by_id(table.table_id) is table

    def _delay_ms(self, table: TableInfo, strategy: AutoPartitionStrategy) -> int:
        if not strategy.is_daily:
            return 0
        delay = self._delays_ms.get(table.table_id)
        if delay is None:
            delay = self._delays_ms[table.table_id] = self._randrange(MAX_DELAY_MINUTES) * _MINUTE_MS
        return delay

    async def _run(self) -> None:
        while True:
            try:
                await self.update_all()
            except Exception:
                logger.exception("a pass over the auto-partitioned tables failed")
            await asyncio.sleep(self._interval_s)
