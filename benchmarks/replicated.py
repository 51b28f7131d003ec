"""Clusters of three tablet servers with replication factor 3: ours beside the official one, run by run.

Each side has a ZooKeeper, one coordinator and three tablet servers on this machine. Two replicas at least must be in
sync (``log.replica.min-in-sync-replicas-number``), and writers wait for all of these (acks = all). The programs are
those of ``compare.py``. CPU and memory are those of all processes of a side, ZooKeeper among them, which is the same
program with the same options for everybody.
"""

from __future__ import annotations

import contextlib
import functools
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

import fluss

from cluster_support import ProcessCluster
from compare import (
    OFFICIAL,
    OURS,
    PROMPT_WRITER,
    UNSYNCED,
    Comparison,
    NewCluster,
    Side,
    Sizes,
    compare,
)
from comparison import Figures, Target
from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.rpc.client import RpcClient
from official import OfficialCluster
from support import batch_of, percentile
from workloads import acknowledged_ms, append, connect, create, drop, rows_of, upsert
from zookeeper_support import ZooKeeperServer

RESULTS = Path(__file__).resolve().parent / "replicated.md"
TABLET_SERVERS = 3
OPTIONS = {
    "default.replication.factor": "3",
    "log.replica.min-in-sync-replicas-number": "2",
    "zookeeper.client.session-timeout": "30s",
}
BUCKETS = (1, 3)

SAME_AT_60 = Target("rate >= 1.0, CPU <= 0.6", rate=1.0, cpu=0.6)
ACKNOWLEDGED = Target("p50 <= 1/10", p50=1 / 10)

FULL = Sizes(3, 1_000_000, 200_000, 0, 0, 0.0, 40)
QUICK = Sizes(1, 300_000, 60_000, 0, 0, 0.0, 10)


class ReplicatedComparison(Comparison):
    """What is measured of clusters."""

    works = ("logs", "upserts", "acknowledgements", "visibility")
    visible = Target("p50 <= 1/50", p50=1 / 50)
    start = Target("<= official", value=1.0)
    idle = Target("<= 1/4", value=1 / 4)
    after = Target("<= 1/4", value=1 / 4)

    async def table(
        self, side: Side, *, keyed: bool = False, buckets: int = 1, compression: str = "ZSTD"
    ) -> fluss.FlussTable:
        table = await super().table(side, keyed=keyed, buckets=buckets, compression=compression)
        await expect_replicas(side.cluster.bootstrap_servers, table.get_table_path().table_name)
        return table

    async def logs(self) -> None:
        """Appends of Arrow batches."""
        batches = [batch_of(start * 10_000, 10_000) for start in range(10)]
        repeat = self.sizes.append_rows // 100_000
        for buckets in BUCKETS:
            for run in range(self.sizes.runs):
                for side in self.sides:
                    table = await self.table(side, buckets=buckets)
                    if run == 0:
                        await append(table, batches, 1)
                    work = functools.partial(append, table, batches, repeat)
                    await self.measure(side, f"append Arrow batches, {_of(buckets)}", SAME_AT_60, work)
                    await drop(side.connection, table)

    async def upserts(self) -> None:
        """Upserts of new keys."""
        rows = rows_of(0, self.sizes.upsert_rows)
        for side in self.sides:  # compiled code and files that exist already, for everybody
            await upsert(await self.table(side, keyed=True), rows[: len(rows) // 3])
        for buckets in BUCKETS:
            for _ in range(self.sizes.runs):
                for side in self.sides:
                    table = await self.table(side, keyed=True, buckets=buckets)
                    work = functools.partial(upsert, table, rows)
                    await self.measure(side, f"upsert new keys, {_of(buckets)}", SAME_AT_60, work)
                    await drop(side.connection, table)

    async def acknowledgements(self) -> None:
        """One row after the other, each until all replicas in sync have it."""
        line = self.line("append of a row to its acknowledgement", "ms", ACKNOWLEDGED)
        for _ in range(self.sizes.runs):
            for side in self.sides:
                connected = await connect(side.cluster.bootstrap_servers, PROMPT_WRITER)
                self._tables += 1
                table = await create(connected, f"t{self._tables}")
                found = (await acknowledged_ms(table, 2 + self.sizes.visible_rows))[2:]  # the first ones connect
                line.add(side.name, Figures(p50_ms=percentile(found, 0.5), p99_ms=percentile(found, 0.99)))
                print(f"{line.name:44} {side.name:16} {line.runs[side.name][-1]}", flush=True)
                await connected.close()


def _of(buckets: int) -> str:
    return f"{buckets} bucket{'s' if buckets > 1 else ''}"


async def expect_replicas(bootstrap: str, table: str) -> None:
    """Make sure that a table of the database ``fluss`` is replicated.

    Raises:
        RuntimeError: a bucket of it has other than three replicas.
    """
    host, _, port = bootstrap.partition(",")[0].rpartition(":")
    request = pb.MetadataRequest(table_path=[pb.PbTablePath(database_name="fluss", table_name=table)])
    async with await RpcClient.connect(host, int(port), timeout_s=10.0) as client:
        found = await client.call(ApiKey.GET_METADATA, request, timeout_s=10.0)
    counts = [len(bucket.replica_id) for bucket in found.table_metadata[0].bucket_metadata]
    if not counts or set(counts) != {TABLET_SERVERS}:
        raise RuntimeError(f"buckets of {table} have {counts} replicas, not {TABLET_SERVERS}")


class WithZooKeeper:
    """A cluster together with a ZooKeeper, in a directory that :meth:`stop` removes.

    Args:
        new_cluster: makes the servers, given a directory and the address of the ZooKeeper.
    """

    def __init__(self, new_cluster: Callable[[Path, str], OfficialCluster | ProcessCluster]) -> None:
        self._new_cluster = new_cluster
        self._stack = contextlib.ExitStack()
        self._zookeeper: ZooKeeperServer | None = None
        self._cluster: OfficialCluster | ProcessCluster | None = None

    @property
    def bootstrap_servers(self) -> str:
        """``host:port`` for clients."""
        assert self._cluster is not None, "the cluster runs"
        return self._cluster.bootstrap_servers

    @property
    def pids(self) -> list[int]:
        """Of ZooKeeper, coordinator and tablet servers."""
        assert self._zookeeper is not None, "the cluster runs"
        assert self._cluster is not None, "the cluster runs"
        return [self._zookeeper.pid, *self._cluster.pids]

    def start(self) -> WithZooKeeper:
        """Start ZooKeeper, then the servers."""
        with contextlib.ExitStack() as stack:
            directory = Path(tempfile.mkdtemp(prefix="fluss-replicated-"))
            stack.callback(shutil.rmtree, directory, ignore_errors=True)
            self._zookeeper = stack.enter_context(ZooKeeperServer())
            self._cluster = self._new_cluster(directory, self._zookeeper.address)
            stack.enter_context(self._cluster)
            self._stack = stack.pop_all()
        return self

    def stop(self) -> None:
        """Stop the servers, then ZooKeeper."""
        self._stack.close()

    def __enter__(self) -> WithZooKeeper:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def official(directory: Path, zookeeper: str) -> OfficialCluster:
    """The official servers."""
    return OfficialCluster(directory / "official", OPTIONS, tablet_servers=TABLET_SERVERS, zookeeper=zookeeper)


def ours(directory: Path, zookeeper: str, options: Mapping[str, str] | None = None) -> ProcessCluster:
    """Those of this project."""
    return ProcessCluster(
        directory, tablet_servers=TABLET_SERVERS, zookeeper=zookeeper, options={**OPTIONS, **(options or {})}
    )


def unsynced(directory: Path, zookeeper: str) -> ProcessCluster:
    """Those of this project, which acknowledge before rows are on the disk."""
    return ours(directory, zookeeper, {"log.flush.before-acknowledge": "false"})


SIDES: dict[str, NewCluster] = {
    OFFICIAL: lambda: WithZooKeeper(official),
    OURS: lambda: WithZooKeeper(ours),
    UNSYNCED: lambda: WithZooKeeper(unsynced),
}


if __name__ == "__main__":
    compare(__doc__, SIDES, {False: FULL, True: QUICK}, RESULTS, ReplicatedComparison)
