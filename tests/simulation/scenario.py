"""What runs of simulated clusters have in common: clients work while things go wrong, and then all is checked."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.identifiers import TableBucket
from fluss_server.rpc.endpoints import Endpoint
from fluss_server.runtime import Network
from fluss_server.simulation import Simulation
from simulation.cluster_checks import Observer, check_rows
from simulation.cluster_clients import REPEATED, ClusterClient, KeyedWriter, Reader, Writer, create_table
from simulation.conversation import KEYED_SCHEMA, LOG_SCHEMA

TABLE, KEYED_TABLE = "log", "keyed"
REPLICAS = 3
QUIET_LIMIT_S = 120.0
"""How long it may take until everything is replicated after the last fault."""

Client = Writer | KeyedWriter | Reader


class Cluster(Protocol):
    """Simulated servers.

    Attributes:
        failed: completes with an error when a server does not start, which ends the run.
    """

    @property
    def failed(self) -> asyncio.Future[None]: ...

    async def start(self) -> None:
        """Return when they serve."""


@dataclass(frozen=True)
class Outcome:
    """What happened in a run.

    Attributes:
        trace: its hash.
        acknowledged: rows that were acknowledged by all replicas in sync.
        read: rows in the end.
        faults: by kind.
        checks: how often the observer has looked.
        standbys: replicas of the primary-key bucket that had the rows in the end, the leader among them.
        promotions: how often a standby replica went on as the leader.
        seconds: of virtual time.
        calls: of clients, by operation and outcome.
    """

    trace: str
    acknowledged: int
    read: int
    faults: dict[str, int]
    checks: int
    standbys: int
    promotions: int
    seconds: float
    calls: dict[str, int]


def command_of(scenario: str, seed: int, seconds: float) -> str:
    """The command that runs one seed."""
    return f"make simulate SCENARIO={scenario} SEED={seed}" + (f" DURATION={seconds:g}" if seconds else "")


@contextmanager
def repeated_with(simulation: Simulation, scenario: str, seed: int, seconds: float) -> Iterator[None]:
    """Print the last steps of a run that fails, and the command that repeats it."""
    try:
        yield
    except BaseException:
        print("\n".join(simulation.trace.tail(50)))
        print(f"repeat with: {command_of(scenario, seed, seconds)}")
        raise


class Scenario(ABC):
    """Clients of a cluster, and somebody who watches.

    Args:
        simulation: that it happens in.
        cluster: the servers.
        observer: looks at them all the time.
        random: of the run.

    Attributes:
        calls: of clients, by operation and outcome.
    """

    def __init__(self, simulation: Simulation, cluster: Cluster, observer: Observer, random: Random) -> None:
        self._simulation = simulation
        self._running = cluster
        self._watching = observer
        self._random = random
        self._observing: asyncio.Task[None]
        self.calls: Counter[str] = Counter()

    @abstractmethod
    def endpoints(self) -> list[Endpoint]:
        """Where clients reach the tablet servers now."""

    def client(self, network: Network, repeated: frozenset[ErrorCode] = REPEATED) -> ClusterClient:
        """One more client."""
        random = Random(self._random.getrandbits(64))
        return ClusterClient(network, self.endpoints, random, repeated, calls=self.calls)

    async def harm(self, clients: Sequence[Client], *harm: Coroutine[Any, Any, None]) -> None:
        """Let clients work for as long as the harm lasts, and to the end of what they have begun."""
        machine = self._simulation.machine("client")
        self._observing = asyncio.ensure_future(self._watching.run())
        working = [machine.start(each.run()) for each in clients]
        await self._while(working, *map(asyncio.ensure_future, harm))
        for each in clients:
            each.stopped = True
        ending = asyncio.ensure_future(self._while([], *working))
        ended, _ = await asyncio.wait([ending], timeout=QUIET_LIMIT_S)
        assert ended, f"operations have not ended {QUIET_LIMIT_S:.0f} s after the last fault"
        ending.result()

    async def settle(self, quiet: Callable[[], bool]) -> None:
        """Wait, still watching, until everything is replicated."""
        await self._while([], asyncio.ensure_future(self.until(quiet, "the replicas do not come together")))
        self._observing.cancel()
        self._watching.check()

    async def until(self, holds: Callable[[], bool], otherwise: str, limit_s: float = QUIET_LIMIT_S) -> None:
        """Wait for something, within bounds."""
        deadline = self._simulation.loop.time() + limit_s
        while not holds():
            assert self._simulation.loop.time() < deadline, otherwise
            await asyncio.sleep(0.05)

    async def read_all(self, readers: Iterable[Reader], repeated: Collection[ErrorCode] = ()) -> None:
        """Read everything there is.

        Args:
            readers: at their beginnings.
            repeated: errors that are no failure while another coordinator takes over, so that leases run out.
        """
        deadline = self._simulation.loop.time() + QUIET_LIMIT_S
        for reader in readers:
            more = True
            while more:
                try:
                    more = await reader.read()
                except FlussError as error:
                    if error.code not in repeated or self._simulation.loop.time() > deadline:
                        raise
                    await asyncio.sleep(0.1)
            assert len(reader.rows) == reader.high_watermark

    async def _while(self, clients: list[asyncio.Task[None]], *tasks: asyncio.Future[None]) -> None:
        """Wait for the tasks; what fails meanwhile ends the run."""
        pending = set(tasks)
        while pending:
            others = {self._observing, self._running.failed, *clients}
            done, _ = await asyncio.wait(pending | others, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            assert done <= pending, "clients go on until they are stopped"
            pending -= done


class TwoTables(Scenario):
    """Writers, readers and a lookup client of a log table and a primary-key table; see :meth:`run`.

    Args:
        buckets: of the log table.
        repeated: errors after which clients make a call again.
        repeated_at_end: those after which the reads at the end are repeated, within bounds.
        seconds: how long things go wrong.

    Attributes:
        writers: of the log table.
        final: readers of everything that was there in the end.
        standbys: see :class:`Outcome`.
    """

    def __init__(
        self,
        simulation: Simulation,
        cluster: Cluster,
        observer: Observer,
        random: Random,
        *,
        buckets: int,
        seconds: float,
        repeated: frozenset[ErrorCode] = REPEATED,
        repeated_at_end: frozenset[ErrorCode] = frozenset(),
    ) -> None:
        super().__init__(simulation, cluster, observer, random)
        self._buckets = buckets
        self._repeated = repeated
        self._repeated_at_end = repeated_at_end
        self._seconds = seconds
        self.writers: list[Writer] = []
        self.final: list[Reader] = []
        self.standbys = 0

    @abstractmethod
    def first_endpoint(self) -> Endpoint:
        """Where the tables are created."""

    @abstractmethod
    def learn(self, table_id: int, buckets: int) -> list[TableBucket]:
        """The buckets of a new table."""

    @abstractmethod
    async def do_harm(self) -> None:
        """Faults, one after the other."""

    async def run(self) -> None:
        """Begin, go on while things go wrong, and check everything at the end."""
        await self._running.start()
        machine = self._simulation.machine("client")
        network, first = machine.runtime().network, self.first_endpoint()
        count = self._buckets
        table_id = await machine.start(
            create_table(network, first, TABLE, LOG_SCHEMA, buckets=count, replicas=REPLICAS)
        )
        keyed_id = await machine.start(
            create_table(network, first, KEYED_TABLE, KEYED_SCHEMA, buckets=1, replicas=REPLICAS)
        )
        buckets = [*self.learn(table_id, count), *self.learn(keyed_id, 1)]

        def client() -> ClusterClient:
            return self.client(network, self._repeated)

        kinds = [(bucket, acks) for bucket in range(count) for acks in (-1, -1, 1)]
        self.writers = [
            Writer(client(), TABLE, table_id, bucket, acks=acks, number=number)
            for number, (bucket, acks) in enumerate(kinds)
        ]
        readers = [Reader(client(), TABLE, table_id, bucket) for bucket in range(count)]
        keyed = KeyedWriter(client(), KEYED_TABLE, keyed_id)
        observer = self._watching
        with observer.events():
            await self.harm([*self.writers, keyed, *readers], self.do_harm())
            await self.settle(lambda: observer.is_quiet(buckets))
        observer.check_equal(buckets)
        self.final = [Reader(client(), TABLE, table_id, bucket) for bucket in range(count)]
        await machine.start(self.read_all(self.final, self._repeated_at_end))
        check_rows(readers, self.final, self.writers)
        await machine.start(keyed.look_up_all())
        self.standbys = observer.check_keyed(buckets[-1])
        for bucket in range(count):
            written = sum(len(writer.acknowledged) for writer in self.writers if writer.bucket == bucket)
            assert written, f"nothing was acknowledged in bucket {bucket}"
        assert keyed.calls, "no upsert or lookup has succeeded"

    def outcome(self, faults: dict[str, int]) -> Outcome:
        """What happened, after :meth:`run`."""
        return Outcome(
            self._simulation.trace.digest(),
            sum(len(writer.acknowledged) for writer in self.writers if writer.acks == -1),
            sum(len(reader.rows) for reader in self.final),
            dict(faults),
            self._watching.checks,
            self.standbys,
            self._watching.promotions,
            self._simulation.loop.time(),
            dict(self.calls),
        )
