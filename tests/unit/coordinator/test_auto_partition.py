"""Partitions made and dropped by time, on a clock that is moved by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from coordinator_support import RecordingTabletServer, running
from fluss_server.coordinator.auto_partition import MAX_DELAY_MINUTES, AutoPartitionManager
from fluss_server.coordinator.catalog import MetadataManager
from fluss_server.coordinator.ddl import DdlExecutor
from fluss_server.coordinator.partitions import PartitionExecutor
from fluss_server.coordinator.validation import TableSettings
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.records import table_path
from fluss_server.metadata.store import MetadataStore, Set
from fluss_server.model.identifiers import DEFAULT_DATABASE, TablePath
from fluss_server.model.table import TableDescriptor, TableInfo
from fluss_server.runtime.clock import ManualClock

T = TablePath(DEFAULT_DATABASE, "t")
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
NOW = "20231114"  # of the clock, 22:13 in UTC


@dataclass
class Cluster:
    """The parts of a coordinator."""

    clock: ManualClock
    store: MetadataStore
    manager: MetadataManager
    ddl: DdlExecutor
    executor: PartitionExecutor
    auto: AutoPartitionManager
    server: RecordingTabletServer

    async def create(self, partition_key: str = "dt", **options: str) -> TableInfo:
        given = {f"table.auto-partition.{key.replace('_', '-')}": value for key, value in options.items()}
        document = {
            "schema": {"columns": [{"name": name, "data_type": {"type": "STRING"}} for name in ("id", "dt", "region")]},
            "partition_key": partition_key.split(","),
            "properties": {
                "table.auto-partition.enabled": "true",
                "table.auto-partition.time-zone": "UTC",
                **given,
            },
        }
        await self.ddl.create_table(T, TableDescriptor.from_json(document), ignore_if_exists=False)
        return self.manager.table(T)

    def names(self) -> list[str]:
        return sorted(partition.name for partition in self.manager.partitions(self.manager.table(T)))

    async def alter(self, **options: str) -> None:
        given = {f"table.auto-partition.{key.replace('_', '-')}": value for key, value in options.items()}

        def change(table: TableInfo, settings: TableSettings) -> TableDescriptor:
            return replace(table.descriptor, properties={**table.descriptor.properties, **given})

        await self.ddl.alter_table(T, change, ignore_if_not_exists=False)


def run(
    path: Path, scenario: Callable[[Cluster], Awaitable[None]], *, delay_minutes: int = 0, max_partitions: int = 1000
) -> None:
    def fixed_delay(bound: int) -> int:
        assert bound == MAX_DELAY_MINUTES
        return delay_minutes

    async def all_of_it() -> None:
        clock = ManualClock()
        async with running(path / "m", clock, max_partitions=max_partitions) as parts:
            executor = parts.partitions
            auto = AutoPartitionManager(parts.manager, executor, clock, interval_s=0.001, randrange=fixed_delay)
            ddl = DdlExecutor(parts.manager, parts.controller.tables, TableSettings(), auto.table_changed)
            await scenario(Cluster(clock, parts.store, parts.manager, ddl, executor, auto, parts.server))
            await auto.close()
            await ddl.close()

    asyncio.run(all_of_it())


def test_a_new_table_has_its_first_partitions(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.create()
        assert cluster.names() == [NOW, "20231115"]

    run(tmp_path, scenario, delay_minutes=MAX_DELAY_MINUTES - 1)  # which new tables do not wait for


def test_partitions_come_and_go(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.create(num_retention="2", num_precreate="3")
        assert cluster.names() == ["20231114", "20231115", "20231116"]
        for day, expected in ((15, [14, 15, 16, 17]), (16, [14, 15, 16, 17, 18]), (17, [15, 16, 17, 18, 19])):
            cluster.clock.advance(DAY_MS)
            await cluster.auto.update_all()
            assert cluster.names() == [f"202311{number}" for number in expected], day

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"time_unit": "HOUR", "num_precreate": "3"}, ["2023111422", "2023111423", "2023111500"]),
        ({"time_unit": "MONTH"}, ["202311", "202312"]),
        ({"time_unit": "QUARTER"}, ["20234", "20241"]),
        ({"time_unit": "year"}, ["2023", "2024"]),
        ({"time_zone": "Asia/Shanghai"}, ["20231115", "20231116"]),
        ({"time_zone": "GMT+2"}, ["20231115", "20231116"]),
        ({"time_format": "yyyy-MM-dd", "num_precreate": "1"}, ["2023-11-14"]),
        ({"num_precreate": "0"}, []),
        ({"enabled": "false"}, []),
    ],
)
def test_units_zones_and_formats(tmp_path: Path, options: dict[str, str], expected: list[str]) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.create(**options)
        assert cluster.names() == expected
        await cluster.auto.update_all()
        assert cluster.names() == expected

    run(tmp_path, scenario)


def test_new_days_are_delayed_but_expired_ones_are_not(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.create(num_retention="1")
        for hours, expected in ((8, [14, 15]), (10, [14, 15, 16]), (8, [15, 16])):  # to 6:13, 16:13 and 0:13
            cluster.clock.advance(hours * HOUR_MS)
            await cluster.auto.update_all()
            assert cluster.names() == [f"202311{number}" for number in expected]

    run(tmp_path, scenario, delay_minutes=10 * 60)


def test_only_days_are_delayed(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.create(time_unit="HOUR", num_precreate="1")
        cluster.clock.advance(HOUR_MS)
        await cluster.auto.update_all()
        assert cluster.names() == ["2023111422", "2023111423"]

    run(tmp_path, scenario, delay_minutes=10 * 60)


def test_with_several_columns_partitions_only_go(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.create("region,dt", key="dt", num_retention="1")
        assert cluster.names() == []
        for region in ("eu", "us"):
            await cluster.executor.create(T, {"dt": NOW, "region": region}, ignore_if_exists=False)
        await cluster.executor.create(T, {"dt": "20231115", "region": "eu"}, ignore_if_exists=False)
        cluster.clock.advance(2 * DAY_MS)
        await cluster.auto.update_all()
        assert cluster.names() == ["eu$20231115"]

    run(tmp_path, scenario)


def test_altering_takes_effect_at_once(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.create(enabled="false")
        for name in ("20231101", "20231113", "anything"):
            await cluster.executor.create(T, {"dt": name}, ignore_if_exists=False)
        await cluster.alter(num_precreate="1")
        assert cluster.names() == ["20231101", "20231113", "anything"]
        await cluster.alter(enabled="true")
        assert cluster.names() == ["20231113", NOW, "anything"]
        await cluster.alter(num_precreate="2", num_retention="0")
        assert cluster.names() == [NOW, "20231115", "anything"]
        await cluster.alter(enabled="false", num_precreate="5")
        cluster.clock.advance(9 * DAY_MS)
        await cluster.auto.update_all()
        assert cluster.names() == [NOW, "20231115", "anything"]

    run(tmp_path, scenario, delay_minutes=MAX_DELAY_MINUTES - 1)


def test_the_limit_of_partitions_holds(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.create(num_precreate=str(2**31 - 1), num_retention="0")
        assert cluster.names() == ["20231114", "20231115", "20231116"]
        cluster.clock.advance(DAY_MS)
        await cluster.auto.update_all()  # drops come first, and make room
        assert cluster.names() == ["20231115", "20231116", "20231117"]

    run(tmp_path, scenario, max_partitions=3)


def test_what_fails_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(cluster: Cluster) -> None:
        cluster.server.failing_partitions = {NOW}
        cluster.server.fail_lead = FlussError(ErrorCode.STORAGE_EXCEPTION, "no space")
        await cluster.create()
        assert cluster.names() == ["20231115"]
        assert f"partition {NOW} of table fluss.t could not be created: " in caplog.text
        cluster.server.fail_lead = None
        await cluster.auto.update_all()
        assert cluster.names() == [NOW, "20231115"]

    run(tmp_path, scenario)


def test_a_table_that_another_server_wrote_does_not_stop_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.create()
        node = await cluster.store.get(table_path(T))
        assert node is not None
        record = json.loads(node.value)
        record["properties"]["table.auto-partition.time-zone"] = "Mars/Olympus"
        await cluster.store.commit([Set(table_path(T), json.dumps(record).encode())])
        again = MetadataManager(cluster.store, cluster.clock)
        await again.load()
        auto = AutoPartitionManager(again, cluster.executor, cluster.clock, interval_s=1, randrange=lambda bound: 0)
        await auto.update_all()
        assert "'Mars/Olympus' is not a time zone" in caplog.text

    run(tmp_path, scenario)


def test_the_task_looks_again_and_ends(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.create(num_retention="0", num_precreate="1")
        cluster.auto.start()
        for day in ("20231115", "20231116"):
            cluster.clock.advance(DAY_MS)
            deadline = asyncio.get_running_loop().time() + 10
            while cluster.names() != [day]:
                assert asyncio.get_running_loop().time() < deadline
                await asyncio.sleep(0.001)
        await cluster.auto.close()
        cluster.clock.advance(DAY_MS)
        await asyncio.sleep(0.01)  # ten intervals
        assert cluster.names() == ["20231116"]

    run(tmp_path, scenario)


def test_a_dropped_table_is_left_alone(tmp_path: Path) -> None:
    async def scenario(cluster: Cluster) -> None:
        table = await cluster.create()
        await cluster.ddl.drop_table(T, ignore_if_not_exists=False)
        cluster.clock.advance(DAY_MS)
        await cluster.auto.update_table(table, forced=True)
        await cluster.create(num_precreate="0")
        assert cluster.names() == []

    run(tmp_path, scenario)
