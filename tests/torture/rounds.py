"""One round: clients write to a real server, one thing goes wrong, and everything is compared with the promises."""

from __future__ import annotations

import asyncio
import errno
import shutil
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from crash.machine import Machine
from error_support import assert_no_traceback
from fluss_server.errors import ErrorCode, FlussError
from server.test_damage import health_of
from torture.check import Check
from torture.client import DISK, RESTART, Client
from torture.damage import Damage, bucket_of, contents, damage, doctor
from torture.load import Load

KINDS = ("power", "damage", "full disk", "kill", "damage", "i/o error", "damage", "power", "failed sync")
"""In this order, again and again: a few rounds have them all."""

OPTIONS = {
    "metrics.reporters": "prometheus",
    "metrics.reporter.prometheus.port": "0",
    "log.scrub.bytes-per-second": "0b",
    "server.data-disk.write-limit-ratio": "1.0",
    "server.data-disk.write-recover-ratio": "0.99",
}
RECOVERY_LIMIT_S = 40.0


class Round:
    """One of many.

    Args:
        home: an empty directory.
        seed: of the run.
        number: of the round; with the seed it determines all choices, but not when the system does what.
        bug: one of :data:`torture.planted_bugs.BUGS`, to see whether the round finds it.

    Attributes:
        kind: what goes wrong, one of :data:`KINDS`.
        story: what happened, a line each.
        codes: error codes that writers got.
        first: the first error of each code.
    """

    def __init__(self, home: Path, seed: int, number: int, bug: str | None = None) -> None:
        self._rng = Random(f"{seed}/{number}")
        self.kind = KINDS[number % len(KINDS)]
        self.story: list[str] = []
        self.codes: Counter[str] = Counter()
        self.first: list[str] = []
        self._begun = time.monotonic()
        self._options = OPTIONS | {
            "log.segment.file-size": self._rng.choice(("2kb", "8kb", "64kb")),
            "log.index.interval-size": self._rng.choice(("100b", "1kb", "4kb")),
            "kv.persist.interval": self._rng.choice(("20ms", "100ms", "10s")),
            "kv.persist.after-offsets": self._rng.choice(("1", "50")),
        }
        if self.kind == "full disk":  # RocksDB must meet it too
            self._options |= {"kv.persist.interval": "20ms", "kv.persist.after-offsets": "1"}
        program = ["fluss_server"] if bug is None else ["torture.planted_bugs", bug]
        self._machine = Machine(home / "machine", self._options, self._rng.getrandbits(32), program)
        self._load: Load

    async def run(self) -> None:
        """Do everything.

        Raises:
            AssertionError: a promise is broken.
            RuntimeError: the server does not start.
        """
        try:
            await self._start()
            repeated = RESTART | DISK if self.kind in ("full disk", "i/o error", "failed sync") else RESTART
            self._load = Load(self._machine.cluster.port, Random(self._rng.getrandbits(64)), repeated, self._count)
            try:
                await self._run()
            finally:
                await self._load.end()
        finally:
            self._machine.cluster.kill()

    async def _run(self) -> None:
        await self._load.prepare()
        self._load.start()
        await self._progress(self._rng.randrange(1, 25))
        self._tell("begins")
        if self.kind in ("kill", "power"):
            await self._crashes()
        elif self.kind == "damage":
            await self._damage()
        else:
            await self._bad_disk()

    def _count(self, error: FlussError) -> None:
        assert error.code is not ErrorCode.UNKNOWN_SERVER_ERROR, f"a response has code -1: {error}"
        if not self.codes[error.code.name]:
            self.first.append(f"{error.code.name}: {error}")
        self.codes[error.code.name] += 1

    def _tell(self, what: str) -> None:
        self.story.append(f"{time.monotonic() - self._begun:.1f} s {what}")

    # ---- the server

    async def _start(self) -> None:
        await asyncio.to_thread(self._machine.start)

    async def _end(self, how: str) -> None:
        """Stop, kill, or lose power; everything or any part of what was not synced."""
        self._tell(how)
        cluster = self._machine.cluster
        if how == "stop":
            code = await asyncio.to_thread(cluster.stop)
            assert code == 0, f"the server stopped with code {code}:\n{cluster.log}"
        elif how == "kill":
            await asyncio.to_thread(cluster.kill)
        else:
            everything = how == "power"
            await asyncio.to_thread(self._machine.lose_power, everything=everything, start=False)

    def _any_end(self) -> str:
        return self._rng.choice(("stop", "kill", "power", "power, in part"))

    async def _progress(self, requests: int) -> None:
        behind = await self._load.wait(requests)
        assert not behind, f"no progress within 60 s: {behind}; {dict(self.codes)}\n{self._machine.cluster.log}"

    # ---- checks

    async def _look(self, lossy: frozenset[str] = frozenset()) -> Check:
        client = Client(self._machine.cluster.port)
        try:
            return await Check(client, self._load.expected, lossy).run()
        finally:
            await client.close()

    async def _check_all(self) -> None:
        """Everything is there, nothing else, and nothing is reported."""
        found = await self._look()
        assert not found.problems, "\n".join(found.problems)
        assert not found.errors, f"buckets that cannot be read: {found.errors}"
        status, health = await health_of(self._machine.cluster)
        assert status == 200, f"everything can be read, and health says {health}"
        assert_no_traceback(self._machine.cluster.log)

    async def _check_and_go_on(self) -> None:
        """Check everything; write more, with new writers and perhaps after one more end, and check again."""
        await self._check_all()
        await self._load.write_once_more()
        await self._check_all()
        if self._rng.random() < 0.5:
            await self._end(self._any_end())
            await self._start()
            await self._check_all()

    # ---- what goes wrong

    async def _crashes(self) -> None:
        """Once or more with writers that repeat what had no response, then perhaps with some that do not."""
        kinds = ("power", "power, in part") if self.kind == "power" else ("kill",)
        for _ in range(self._rng.randint(1, 2)):
            await self._end(self._rng.choice(kinds))
            await self._start()
            await self._progress(self._rng.randrange(1, 12))
        if self._rng.random() < 0.5:
            self._tell("finish")
            await self._load.finish()
            await self._end(self._rng.choice(kinds))
        else:
            self._tell("abandon")
            await self._end(self._rng.choice(kinds))
            await self._load.abandon()
        await self._start()
        await self._check_and_go_on()

    async def _bad_disk(self) -> None:
        """Writes or syncs fail for a while; a full disk must be recovered from without a restart."""
        number = errno.ENOSPC if self.kind == "full disk" else errno.EIO
        syncs = self.kind == "failed sync"
        self._machine.disk.fail(number, writes=not syncs, syncs=syncs)
        failed = sum(self.codes.values())
        deadline = asyncio.get_running_loop().time() + RECOVERY_LIMIT_S
        enough = failed + self._rng.randrange(1, 40)
        while sum(self.codes.values()) < enough:
            assert asyncio.get_running_loop().time() < deadline, "no write has noticed that the disk fails"
            await asyncio.sleep(0.005)
        self._tell(f"{self.kind}: {dict(self.codes)}")
        await self._look_meanwhile()
        self._machine.disk.mend()
        self._tell("mended")
        behind = await self._load.wait(3, limit_s=RECOVERY_LIMIT_S if self.kind == "full disk" else 3.0)
        if behind:
            status, health = await health_of(self._machine.cluster)
            assert self.kind != "full disk", f"with space again, these do not go on: {behind}; {health}"
            assert status == 503, f"these get no further, and health says {health}: {behind}"
            self._tell(f"offline: {health['offline_buckets']}")
        self._tell("recovered")
        end = self._any_end()
        await self._end(end if end != "stop" or not behind else "kill")
        await self._start()
        await self._progress(3)
        await self._load.finish()
        await self._check_and_go_on()

    async def _look_meanwhile(self) -> None:
        """What can be read while the disk fails is right."""
        try:
            found = await self._look()
        except FlussError as error:
            if error.code not in RESTART | DISK:
                raise
            return
        # Writers are under way: more rows than were acknowledged when the check began are no problem.
        problems = [problem for problem in found.problems if "has wrong data" in problem or "code -1" in problem]
        assert not problems, "\n".join(problems)

    async def _damage(self) -> None:
        """A file of the server that has ended is damaged."""
        if self._rng.random() < 0.7:
            await self._load.finish()
            await self._end(self._rng.choice(("stop", "kill")))
        else:
            await self._end("kill")
            await self._load.abandon()
        data = self._machine.disk.data
        done = damage(data, self._rng)
        self._machine.disk.settle()  # a later loss of power must not undo it
        self._tell(str(done))
        before = contents(data, "**/*")
        before.pop(".lock", None)  # has the id of the process that used the directory last
        reported = await asyncio.to_thread(doctor, data)
        changed = {name for name in before if contents(data, name).get(name) != before[name]}
        assert not changed, f"the doctor changes {changed}"
        damaged = {part: details for part, (state, details) in reported.items() if state == "damaged"}
        self._tell(f"doctor: {damaged or 'nothing'}")
        try:
            await self._start()
        except RuntimeError as error:
            await self._after_refused_start(str(error), done, damaged, before)
            return
        await self._after_start(done, damaged)

    def _restore(self, done: Damage) -> None:
        done.restore()
        self._machine.disk.settle()
        self._tell("restored")

    async def _after_refused_start(
        self, text: str, done: Damage, damaged: dict[str, str], before: dict[str, bytes]
    ) -> None:
        """The start is refused: with a code, reported by the doctor too, and nothing is changed."""
        line = next((line for line in text.splitlines() if line.startswith("fluss: error ")), None)
        assert line is not None, f"the start fails without an error code: {text}"
        assert "error -1" not in line, line
        assert "Traceback" not in text, text
        self._tell(f"refused: {line:.150}")
        assert damaged, f"the start is refused, and the doctor finds nothing: {line}"
        # The metadata is opened first: it may have gone on, unless it is what is damaged.
        kept = ("**/*.log", "metadata.*") if done.file_class.startswith("metadata") else ("**/*.log",)
        after = contents(self._machine.disk.data, *kept)
        changed = {name for name, content in before.items() if name in after and after[name] != content}
        gone = {name for name in before.keys() - after.keys() if name.endswith(".log") and self._is_kept(name)}
        assert not changed | gone, f"a start that was refused has changed {changed}, removed {gone}"
        self._restore(done)
        await self._start()
        await self._check_and_go_on()

    def _is_kept(self, name: str) -> bool:
        """Whether a file is of a table or partition that nobody drops; what the metadata dropped, any start removes."""
        bucket = bucket_of(str(Path(name).parent))
        if bucket is None:
            return False
        table, *partition, _ = bucket.split("/")
        expected = self._load.expected
        return expected.partitions.is_present(partition[0]) if partition else expected.tables.is_present(table)

    async def _after_start(self, done: Damage, damaged: dict[str, str]) -> None:
        """It has started: everything is right, or what is not is reported."""
        lossy = frozenset(filter(None, map(bucket_of, damaged)))
        found = await self._look(lossy)
        assert not found.problems, "\n".join(found.problems)
        assert_no_traceback(self._machine.cluster.log)
        status, health = await health_of(self._machine.cluster)
        unreported = found.errors.keys() - lossy
        described: Any = health["problems"]
        self._tell(f"started: errors {found.errors}, health {status}")
        assert not unreported or status == 503, f"cannot be read, and nothing reports it: {unreported} {health}"
        if found.errors:
            assert status == 503, f"cannot be read: {found.errors}; health says {health}"
            assert described, health
        else:
            assert found.errors or status == 200 or damaged, health
        if not damaged and not found.errors:
            await self._check_and_go_on()
        elif found.damaged and done.file_class == "segment":
            await self._end("stop")
            self._restore(done)
            await self._start()
            await self._check_all()


def make_home(parent: Path) -> Path:
    """A directory for a round."""
    home = parent / "round"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    return home
