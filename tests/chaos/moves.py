"""Servers come and go under load: three become four and three again, and one is drained. Replicas move each time.

In the middle of every phase something is killed: the new server, the one that is drained, the active coordinator, a
leader. A phase is over when everything is where it has to be; no bucket may have old and new replicas then.
"""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from chaos.checks import Violation, log_files
from chaos.experiment import FILES_LIMIT_S, KEYED, LOG, Experiment, Plan
from chaos.faults import Faults, serving
from chaos.history import Window
from chaos.links import HOST
from chaos.servers import Server
from fluss_server.api import messages as pb
from fluss_server.api.keys import FIRST_OWN_KEY, ApiKey
from fluss_server.api.own_messages import message_class
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.rebalance_records import RebalanceStatus, ServerTag
from fluss_server.rpc.client import RpcClient
from official_tree import raw_tree

OPTIONS = {"log.replica.catch-up.bytes-per-second": "1mb", "coordinator.rebalance.moves-per-server": "1"}
"""Replicas move slowly enough to be hit."""

_OF_ANOTHER_COORDINATOR = (ErrorCode.UNSUPPORTED_VERSION, ErrorCode.NOT_COORDINATOR_LEADER_EXCEPTION)

NOTHING_MOVES = "nothing moves"
THREE_TO_FOUR, FOUR_TO_THREE = "3 to 4 servers", "4 to 3 servers"
REPLICAS = 3
PHASE_LIMIT_S = 120.0
CALL_TIMEOUT_S = 5.0


def moves_plan(seed: int, *, short: bool = False) -> Plan:
    """What is done, with enough rows that replicas take time to move; ``short`` without the drain in the middle."""
    if short:
        return Plan(seed, 2.0, kinds=(THREE_TO_FOUR, FOUR_TO_THREE), buckets=2, first_rows=30_000)
    return Plan(seed, 10.0, first_rows=100_000)


class Phase(NamedTuple):
    """Of a run.

    Attributes:
        name: for the report.
        prepare: says which servers may have replicas.
        empty: the server that has none in the end; None = every server has some.
        victim: who is killed meanwhile, in words.
    """

    name: str
    prepare: Callable[[], Awaitable[object]]
    empty: int | None
    victim: str


class MovingExperiment(Experiment):
    """See the module. ``Plan.seconds`` is the time at the beginning when nothing moves, ``Plan.kinds`` are phases."""

    async def _do_harm(self) -> None:
        self._faults = Faults(self._cluster, self._another(), (LOG, KEYED))
        await self._wait_until(self._missing_first_rows, self._plan.live_s, "at the beginning")
        begin = self._now()
        await asyncio.sleep(self._plan.seconds)
        self._note(Window(NOTHING_MOVES, "", begin, self._now(), self._now()), 0)
        new = await self._cluster.add_tablet_server()
        await serving(new)
        for phase in (
            Phase(THREE_TO_FOUR, self._nothing, None, "new server"),
            Phase("drain of a server", lambda: self._tag(0), 0, "drained server"),
            Phase("end of the drain", lambda: self._untag(0), None, "coordinator"),
            Phase(FOUR_TO_THREE, lambda: self._tag(new.number), new.number, "leader"),
        ):
            if not self._plan.kinds or phase.name in self._plan.kinds:
                await self._run(phase)
        await self._until_deleted(new)
        await new.end(signal.SIGTERM)
        await self._wait_until(self._has_progress_since(self._now()), self._plan.live_s, "after the moves")
        await asyncio.to_thread(self._check_nodes)

    def _with_replicas(self) -> Sequence[Server]:
        return self._cluster.tablet_servers[:REPLICAS]

    def _missing_first_rows(self) -> str | None:
        """Tells who has not appended its first, large batch yet; None when all have."""
        waiting = [each for each in self._appenders if len(each.acknowledged) <= self._plan.first_rows]
        return f"batch after the first one in bucket {waiting[0].bucket}" if waiting else None

    def _note(self, window: Window, moves: int) -> None:
        self.result.history.note_window(window)
        self.result.moves[window.kind] = moves
        self._tell(f"{window.begin:7.1f} s  {window.kind}: {moves} moves, {window.end - window.begin:.1f} s")

    # ------------------------------------------------------------------ phases

    async def _run(self, phase: Phase) -> None:
        begin = self._now()
        await phase.prepare()
        await self._request()
        await self._until_something_moves(phase)
        victim = await self._victim(phase)
        await victim.end(signal.SIGKILL)
        await asyncio.sleep(self._random.random())
        victim.start()
        moves = await self._until_done(phase)
        done = self._now()
        await self._settle(done)
        self._note(Window(f"{phase.name}, kill {phase.victim}", victim.name, begin, done, self._now()), moves)

    async def _victim(self, phase: Phase) -> Server:
        servers = self._cluster.tablet_servers
        match phase.victim:
            case "new server":
                return servers[-1]
            case "drained server":
                assert phase.empty is not None, "somebody is drained"
                return servers[phase.empty]
            case "coordinator":
                return await self._faults.active_coordinator()
        return await self._faults.some_leader()

    async def _until_something_moves(self, phase: Phase) -> None:
        deadline = time.monotonic() + PHASE_LIMIT_S
        while True:
            found = await self._progress()
            statuses = [entry.rebalance_status for table in found.table_progress for entry in table.buckets_progress]
            if RebalanceStatus.REBALANCING in statuses:
                return
            if RebalanceStatus(found.rebalance_status).is_final:
                raise RuntimeError(f"{phase.name}: everything had moved before something could be killed")
            if time.monotonic() > deadline:
                raise RuntimeError(f"{phase.name}: nothing moves")
            await asyncio.sleep(0.01)

    async def _until_done(self, phase: Phase) -> int:
        """Wait for the end of rebalances until one is complete; returns how many buckets have moved.

        One during which a server was gone for too long has failed, and is requested again.
        """
        deadline, moves = time.monotonic() + PHASE_LIMIT_S, 0
        while time.monotonic() < deadline:
            found = await self._progress()
            status = RebalanceStatus(found.rebalance_status)
            if status.is_final:
                statuses = [
                    entry.rebalance_status for table in found.table_progress for entry in table.buckets_progress
                ]
                moves += statuses.count(RebalanceStatus.COMPLETED)
                if status is RebalanceStatus.COMPLETED and await self._is_done(phase):
                    return moves
                await self._request()
            await asyncio.sleep(0.05)
        raise RuntimeError(f"{phase.name} does not come to its end: {await self._buckets()}")

    async def _is_done(self, phase: Phase) -> bool:
        buckets = await self._buckets()
        used = {server for bucket in buckets for server in bucket.replicas}
        wanted = {server.number for server in self._cluster.tablet_servers} - {phase.empty}
        if between := [bucket for bucket in buckets if len(bucket.replicas) != REPLICAS]:
            text = f"{phase.name}: after the end of the rebalance {len(between)} buckets have {between[0].replicas}"
            self.result.violations.append(Violation("joint assignment", text))
        return used == wanted

    async def _until_deleted(self, server: Server) -> None:
        """Wait until nothing of the tables is on a server that is to have nothing."""
        deadline = time.monotonic() + FILES_LIMIT_S
        while left := list(await asyncio.to_thread(log_files, server.data)):
            if time.monotonic() > deadline:
                self.result.violations.append(Violation("replicas that are left", f"{server.name} has {left}"))
                return
            await asyncio.sleep(0.1)

    def _check_nodes(self) -> None:
        """What ZooKeeper has: neither a bucket nor a rebalance is on its way."""
        with raw_tree(self._cluster.zookeeper, "/fluss") as tree:
            nodes = tree.values()
        for path, value in nodes.items():
            document = json.loads(value) if value.startswith(b"{") else {}
            if path.startswith("/tabletservers/tables/") and "buckets" in document:
                between = {name: servers for name, servers in document["buckets"].items() if len(servers) != REPLICAS}
                if between:
                    self.result.violations.append(Violation("joint assignment", f"{path} has {between}"))
            if path == "/cluster/rebalance" and not RebalanceStatus(document["rebalance_status"]).is_final:
                self.result.violations.append(Violation("joint assignment", f"a rebalance is left: {value.decode()}"))

    # ------------------------------------------------------------------ calls of the coordinator

    async def _nothing(self) -> None:
        """Every server may have replicas as it is."""

    async def _tag(self, server: int) -> None:
        request = pb.AddServerTagRequest(server_ids=[server], server_tag=ServerTag.PERMANENT_OFFLINE)
        await self._call(ApiKey.ADD_SERVER_TAG, request)

    async def _untag(self, server: int) -> None:
        request = pb.RemoveServerTagRequest(server_ids=[server], server_tag=ServerTag.PERMANENT_OFFLINE)
        await self._call(ApiKey.REMOVE_SERVER_TAG, request)

    async def _request(self) -> None:
        """Begin a rebalance, unless one runs."""
        try:
            await self._call(ApiKey.REBALANCE, pb.RebalanceRequest())
        except FlussError as error:
            if error.code is not ErrorCode.REBALANCE_FAILURE_EXCEPTION:
                raise

    async def _progress(self) -> Any:
        return await self._call(ApiKey.LIST_REBALANCE_PROGRESS, pb.ListRebalanceProgressRequest())

    async def _buckets(self) -> list[Any]:
        found: list[Any] = []
        for table in (LOG, KEYED):
            request = message_class("DescribeBucketsRequest")(database_name="fluss", table_name=table)
            found += (await self._call(ApiKey.DESCRIBE_BUCKETS, request)).buckets
        return found

    async def _call(self, key: ApiKey, request: Any) -> Any:
        """A call of any coordinator, until one responds; the standby passes it on."""
        deadline = time.monotonic() + PHASE_LIMIT_S
        while True:
            for coordinator in self._cluster.coordinators:
                # Clients are not told versions of APIs that others do not have; servers are.
                port = coordinator.internal_port if key >= FIRST_OWN_KEY else coordinator.client_port
                try:
                    async with await RpcClient.connect(HOST, port, timeout_s=CALL_TIMEOUT_S) as client:
                        return await client.call(key, request, timeout_s=CALL_TIMEOUT_S)
                except FlussError as error:
                    again = error.retriable or error.code in _OF_ANOTHER_COORDINATOR
                    if not again or time.monotonic() > deadline:
                        raise
            await asyncio.sleep(0.05)
