"""A real server killed while partitions are created, filled and dropped: each is there fully or not at all.

``FLUSS_CRASH_ROUNDS`` sets the number of kills, ``FLUSS_CRASH_SEED`` repeats a run.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from pathlib import Path

import fluss
import pyarrow as pa
import pytest

from clients.pyfluss_support import connection, new_table
from fluss_server.testing import LocalCluster

ROUNDS = int(os.environ.get("FLUSS_CRASH_ROUNDS", "15"))
SEED = int(os.environ.get("FLUSS_CRASH_SEED", str(time.time_ns() % 2**32)))
NAMES = [f"p{number}" for number in range(12)]
LOG_SCHEMA = pa.schema([pa.field("n", pa.int64()), pa.field("day", pa.string())])
KV_SCHEMA = pa.schema([pa.field("id", pa.int64(), nullable=False), pa.field("day", pa.string(), nullable=False)])
TABLES = ("log", "kv")
BUCKETS = [0, 1]


class Changes:
    """Creates, fills and drops the partitions of one table, and knows what was acknowledged.

    ``rows`` has the acknowledged rows of each partition that is certain to exist. ``unsure`` are the partitions for
    which a creation or removal was not answered.
    """

    def __init__(self, table: str, rng: random.Random) -> None:
        self.table = table
        self.rows: dict[str, int] = {}
        self.unsure: set[str] = set()
        self.done = 0
        self._rng = rng

    async def run(self, connected: fluss.FlussConnection) -> None:
        """Until the server is gone."""
        admin, path = connected.get_admin(), fluss.TablePath("fluss", self.table)
        while True:
            name = self._rng.choice(NAMES)
            exists = self.rows.pop(name, None) is not None
            self.unsure.add(name)
            try:
                if exists:
                    await asyncio.wait_for(admin.drop_partition(path, {"day": name}), 10)
                else:
                    await asyncio.wait_for(admin.create_partition(path, {"day": name}), 10)
            except (fluss.FlussError, asyncio.TimeoutError) as error:
                if getattr(error, "error_code", None) in (36, 42):
                    raise  # the server has forgotten what it had acknowledged, or a client has repeated its call
                return
            self.unsure.discard(name)
            if not exists:
                self.rows[name] = 0
            self.done += 1

    async def fill(self, connected: fluss.FlussConnection) -> None:
        """One acknowledged row into each partition."""
        table = await connected.get_table(fluss.TablePath("fluss", self.table))
        if not self.rows:
            return
        if self.table == "log":
            append = table.new_append().create_writer()
            for name in self.rows:
                append.append({"n": self.rows[name], "day": name})
            await append.flush()
        else:
            upsert = table.new_upsert().create_writer()
            for name in self.rows:
                upsert.upsert({"id": self.rows[name], "day": name})
            await upsert.flush()
        self.rows = {name: count + 1 for name, count in self.rows.items()}

    async def check(self, connected: fluss.FlussConnection, data_dir: Path) -> None:
        """What is there is what was acknowledged, with leaders, rows and files; the unsure become sure."""
        admin, path = connected.get_admin(), fluss.TablePath("fluss", self.table)
        infos = await admin.list_partition_infos(path)
        present = {info.partition_name: info.partition_id for info in infos}
        missing = self.rows.keys() - present.keys()
        assert not missing, f"acknowledged partitions of {self.table} are missing: {missing}"
        undead = present.keys() - self.rows.keys() - self.unsure
        assert not undead, f"dropped partitions of {self.table} are there: {undead}"
        (directory,) = (data_dir / "fluss").glob(f"{self.table}-*")
        on_disk = {entry.name for entry in directory.iterdir()}
        known = {f"{name}-p{partition_id}" for name, partition_id in present.items()}
        # A start that finds a transaction that the checkpoint does not cover keeps what a dropped partition has left.
        kept = {entry for entry in on_disk if ".orphaned" in entry}
        assert not {entry.partition(".orphaned")[0] for entry in kept} & known
        assert on_disk - kept == known
        for name in present:
            ends = await admin.list_partition_offsets(path, name, BUCKETS, fluss.OffsetSpec.latest())
            if name in self.rows:
                assert sum(ends.values()) == self.rows[name], f"rows of {name} of {self.table}"
            else:
                self.rows[name] = sum(ends.values())
        self.unsure.clear()


@pytest.mark.crash
@pytest.mark.slow
def test_sigkill_during_changes_of_partitions_leaves_all_or_nothing(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    print(f"repeat with FLUSS_CRASH_SEED={SEED} FLUSS_CRASH_ROUNDS={ROUNDS}")
    changes = [Changes(table, rng) for table in TABLES]

    async def set_up(servers: str) -> None:
        async with connection(servers) as connected:
            await new_table(connected, "log", LOG_SCHEMA, partition_keys=["day"], bucket_count=2)
            await new_table(
                connected, "kv", KV_SCHEMA, primary_keys=["id", "day"], partition_keys=["day"], bucket_count=2
            )

    async def one_round(cluster: LocalCluster) -> None:
        async with connection(cluster.bootstrap_servers) as connected:
            done = [change.done for change in changes]
            tasks = [asyncio.create_task(change.run(connected)) for change in changes]
            deadline = time.monotonic() + 30
            while any(change.done < before + 3 for change, before in zip(changes, done, strict=True)):
                assert time.monotonic() < deadline, "no progress"
                for task in tasks:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.001)
            await asyncio.sleep(rng.random() * 0.1)  # a random moment, not a wait for a state
            await asyncio.to_thread(cluster.kill)
            await asyncio.gather(*tasks)
        await asyncio.to_thread(cluster.start)
        async with connection(cluster.bootstrap_servers) as connected:
            for change in changes:
                await change.check(connected, tmp_path)
                await change.fill(connected)

    with LocalCluster(tmp_path) as cluster:
        asyncio.run(set_up(cluster.bootstrap_servers))
        for _ in range(ROUNDS):
            asyncio.run(one_round(cluster))
    print(f"{ROUNDS} kills, {sum(change.done for change in changes)} changes of partitions")
    assert sum(change.done for change in changes) >= 6 * ROUNDS
