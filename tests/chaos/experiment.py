"""One run: clients write and read while a cluster has faults; then everything is compared."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from chaos import checks
from chaos.checks import Row, Violation
from chaos.clients import Actor, Appender, Reader, Target, Upserter, Visitor
from chaos.faults import Faults, serving
from chaos.history import History, Version, Window
from chaos.servers import Cluster, Server
from fluss_server.errors import FlussError
from fluss_server.runtime.system_network import SystemNetwork
from simulation.cluster_clients import create_table
from simulation.conversation import KEYED_SCHEMA, LOG_SCHEMA

LOG, KEYED = "log", "keyed"
CREATE_LIMIT_S = 120.0
FILES_LIMIT_S = 60.0
"""How long it may take until the files of all replicas are equal, when nobody writes any more."""

_CLIENT_FAILED = "client failed"


@dataclass(frozen=True)
class Plan:
    """What a run does.

    Attributes:
        seed: of all choices.
        seconds: how long there are faults.
        faults: how many at most; None = as many as there is time for.
        kinds: only these kinds of faults; () = all.
        without: kinds that are left out of the order of the seed.
        buckets: of each table.
        first_rows: that each appender appends in one batch at the beginning; 0 = as many as in other batches.
        pace_s: longest pause of a client between two operations.
        settle_s: longest time that is waited for all clients to go on after a fault.
        live_s: within this time everything must go on when the faults have ended.
    """

    seed: int = 1
    seconds: float = 60.0
    faults: int | None = None
    kinds: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    buckets: int = 3
    first_rows: int = 0
    pace_s: float = 0.1
    settle_s: float = 20.0
    live_s: float = 30.0


@dataclass
class Result:
    """What a run has shown.

    Attributes:
        history: what clients did.
        violations: what must not be; empty when all is well.
        rows: rows and changes that are there in the end.
        seconds: that the clients worked.
        failed: servers that ended by themselves, and how often.
        regressions: how often a reader was told a smaller high watermark than before.
        moves: how many buckets got other replicas, by kind of window; only of ``chaos.moves``.
    """

    history: History
    violations: list[Violation] = field(default_factory=list)
    rows: int = 0
    seconds: float = 0.0
    failed: dict[str, int] = field(default_factory=dict)
    regressions: int = 0
    moves: dict[str, int] = field(default_factory=dict)


class Experiment:
    """See the module.

    Args:
        cluster: that runs.
        plan: what to do.
        output: where the raw history and the logs of servers go; None = nowhere.
        tell: called with what happens, as text.
    """

    def __init__(
        self,
        cluster: Cluster,
        plan: Plan,
        output: Path | None = None,
        tell: Callable[[str], object] = lambda text: None,
    ) -> None:
        self._cluster = cluster
        self._plan = plan
        self._output = output
        self._tell = tell
        self._random = Random(plan.seed)
        self._begin = time.monotonic()
        self.result = Result(History(None if output is None else output / "history.jsonl"))
        self._appenders: list[Appender] = []
        self._upserters: list[Upserter] = []
        self._readers: list[Reader] = []
        self._tasks: dict[asyncio.Task[None], Actor] = {}

    def _now(self) -> float:
        return time.monotonic() - self._begin

    async def run(self) -> Result:
        """Do everything; what is wrong is in the result."""
        result = self.result
        targets = [await self._create(LOG), await self._create(KEYED)]
        self._start_clients(*targets)
        try:
            await self._wait_until(self._has_progress_since(self._now()), self._plan.live_s, "at the beginning")
            await self._do_harm()
            await self._stop_clients()
            await self._compare(*targets)
        finally:
            for task in self._tasks:
                task.cancel()
            result.seconds = self._now()
            result.failed = dict(Counter(name for name, _ in self._cluster.failed))
            result.history.close()
            self._keep_logs()
        return result

    # ------------------------------------------------------------------ tables and clients

    async def _create(self, name: str) -> Target:
        schema = LOG_SCHEMA if name == LOG else KEYED_SCHEMA
        for server in self._cluster.servers:
            await serving(server)
        deadline = time.monotonic() + CREATE_LIMIT_S
        endpoint = self._cluster.coordinators[0].endpoint
        replicas = len(self._cluster.tablet_servers)
        while True:
            try:
                table_id = await create_table(
                    SystemNetwork(), endpoint, name, schema, buckets=self._plan.buckets, replicas=replicas
                )
                break
            except FlussError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.3)
        endpoints = [server.endpoint for server in self._cluster.tablet_servers]
        return Target(name, table_id, endpoints, self.result.history, self._now, self._plan.pace_s)

    def _start_clients(self, log: Target, keyed: Target) -> None:
        number = 0
        for bucket in range(self._plan.buckets):
            self._appenders += [
                Appender(log, bucket, number + each, self._another(), first_rows=self._plan.first_rows)
                for each in range(2)
            ]
            owner = Upserter(keyed, bucket, number, self._another())
            self._upserters += [owner, Visitor(keyed, owner, self._another())]
            self._readers += [Reader(target, bucket, self._another()) for target in (log, keyed)]
            number += 2
        for actor in (*self._appenders, *self._upserters, *self._readers):
            self._tasks[asyncio.ensure_future(actor.run())] = actor

    def _another(self) -> Random:
        return Random(self._random.getrandbits(64))

    def _has_progress_since(self, begin: float) -> Callable[[], str | None]:
        """Tells which bucket has had no acknowledged operation since a time; None when all have."""

        def missing() -> str | None:
            for operation in ("append", "upsert", "lookup"):
                for bucket in range(self._plan.buckets):
                    times = self.result.history.acknowledged[operation, bucket]
                    if not times or times[-1] < begin:
                        return f"{operation} in bucket {bucket}"
            return None

        return missing

    async def _wait_until(self, missing: Callable[[], str | None], limit_s: float, when: str) -> bool:
        deadline = time.monotonic() + limit_s
        while (what := missing()) is not None:
            for task in self._tasks:
                if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                    self.result.violations.append(Violation(_CLIENT_FAILED, f"{type(error).__name__}: {error}"))
                    raise RuntimeError("a client failed") from error
            if time.monotonic() > deadline:
                self.result.violations.append(Violation("liveness", f"{when}: no {what} in {limit_s:g} s"))
                return False
            await asyncio.sleep(0.05)
        return True

    # ------------------------------------------------------------------ faults

    async def _do_harm(self) -> None:
        plan = self._plan
        faults = Faults(self._cluster, self._another(), (LOG, KEYED))
        if plan.kinds:
            faults.kinds = {kind: action for kind, action in faults.kinds.items() if kind in plan.kinds}
        deadline = time.monotonic() + plan.seconds
        for drawn in faults.order(plan.faults or 10_000):
            kinds = tuple(kind for kind in drawn if kind not in plan.without)
            if not kinds:
                continue
            if time.monotonic() > deadline:
                break
            begin = self._now()
            target = await faults.do(kinds)
            healed = self._now()
            await self._settle(healed)
            window = Window(" + ".join(kinds), target, begin, healed, self._now())
            self.result.history.note_window(window)
            self._tell(f"{begin:7.1f} s  {window.kind}: {target}; all go on after {window.end - healed:.1f} s")
            await asyncio.sleep(0.5 + self._random.random())
        await faults.heal()
        await self._wait_until(self._has_progress_since(self._now()), plan.live_s, "after the faults")

    async def _settle(self, since: float) -> None:
        """Wait until all clients go on, within the limits of the plan."""
        missing = self._has_progress_since(since)
        deadline = time.monotonic() + self._plan.settle_s
        while missing() is not None and time.monotonic() < deadline:  # noqa: ASYNC110 - the history knows no events
            await asyncio.sleep(0.02)

    # ------------------------------------------------------------------ the end

    async def _stop_clients(self) -> None:
        writers: Sequence[Actor] = (*self._appenders, *self._upserters)
        for actor in writers:
            actor.stopped = True
        await self._end_of(writers, "operations")
        for reader in self._readers:
            reader.stopped = True
        await self._end_of(self._readers, "reads")

    async def _end_of(self, actors: Sequence[Actor], what: str) -> None:
        tasks = [task for task, actor in self._tasks.items() if actor in actors]
        _, pending = await asyncio.wait(tasks, timeout=self._plan.live_s)
        if pending:
            text = f"{len(pending)} of {len(tasks)} {what} do not end in {self._plan.live_s:g} s"
            self.result.violations.append(Violation("liveness", text))
        for task in tasks:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                self.result.violations.append(Violation(_CLIENT_FAILED, f"{type(error).__name__}: {error}"))

    async def _compare(self, log: Target, keyed: Target) -> None:
        found = self.result.violations
        finals: dict[tuple[str, int], list[Row]] = {}
        for target in (log, keyed):
            for bucket in range(self._plan.buckets):
                finals[target.name, bucket] = await self._read_all(target, bucket)
        self.result.rows = sum(map(len, finals.values()))
        for bucket in range(self._plan.buckets):
            writers = [writer for writer in self._appenders if writer.bucket == bucket]
            sent = set().union(*(writer.sent for writer in writers))
            found += checks.check_log(bucket, finals[LOG, bucket], (writer.acknowledged for writer in writers), sent)
            owners = [owner for owner in self._upserters if owner.bucket == bucket]
            versions = {key: written for owner in owners for key, written in owner.versions.items()}
            found += checks.check_changelog(bucket, finals[KEYED, bucket], versions)
            await self._look_everything_up(keyed, bucket, finals[KEYED, bucket], versions)
            lookups = [lookup for owner in owners for lookup in owner.lookups]
            found += checks.check_lookups(lookups, versions)
        for writer in (*self._appenders, *self._upserters):
            found += writer.violations
        for reader in self._readers:
            found += reader.violations
            name = f"{reader.target.name}/{reader.bucket}"
            found += checks.check_seen(name, reader.rows, finals[reader.target.name, reader.bucket])
            self.result.regressions += reader.regressions
        await self._compare_files([f"{target.name}-{target.table_id}" for target in (log, keyed)])

    async def _read_all(self, target: Target, bucket: int) -> list[Row]:
        reader = Reader(target, bucket, self._another(), wait_ms=0)

        async def read() -> None:
            while await reader.read() and not reader.stopped:
                pass

        try:
            await asyncio.wait_for(read(), self._plan.live_s)
        except asyncio.TimeoutError:
            text = f"bucket {bucket} of {target.name} cannot be read in {self._plan.live_s:g} s"
            self.result.violations.append(Violation("liveness", text))
        self.result.violations += reader.violations
        await reader.client.close()
        return reader.rows

    async def _look_everything_up(
        self, keyed: Target, bucket: int, changelog: Sequence[Row], versions: dict[int, list[Version]]
    ) -> None:
        """Compare the rows of the table with its changelog."""
        state = checks.state_of(changelog)
        visitor = Upserter(keyed, bucket, -1, self._another())
        with contextlib.suppress(asyncio.TimeoutError):
            for key in versions:
                await asyncio.wait_for(visitor.look_up(key), self._plan.live_s)
        await visitor.client.close()
        wrong = [lookup for lookup in visitor.lookups if lookup.value != state.get(lookup.key)]
        if wrong or len(visitor.lookups) < len(versions):
            text = f"bucket {bucket}: {len(wrong)} rows differ from the changelog: {wrong[: checks.SHOWN]}"
            kind = "state differs from the changelog" if wrong else "liveness"
            self.result.violations.append(Violation(kind, text))
        self._upserters.append(visitor)

    async def _compare_files(self, tables: Sequence[str]) -> None:
        """Compare the logs of all replicas byte by byte, in the files of the servers."""
        directories = {server.name: server.data for server in self._with_replicas()}
        deadline = time.monotonic() + FILES_LIMIT_S
        while True:
            violations = await asyncio.to_thread(lambda: list(checks.check_replicas(directories, tables)))
            if not violations or time.monotonic() > deadline:
                break
            await asyncio.sleep(0.5)
        self.result.violations += violations

    def _with_replicas(self) -> Sequence[Server]:
        """Servers that have a replica of every bucket in the end."""
        return self._cluster.tablet_servers

    def _keep_logs(self) -> None:
        if self._output is None:
            return
        for server in self._cluster.servers:
            with contextlib.suppress(OSError):
                shutil.copy(server.directory / "log", self._output / f"{server.name}.log")
