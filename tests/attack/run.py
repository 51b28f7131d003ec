"""Attacks real servers while an honest client works with them, and checks that nothing is left of it afterwards.

    python -m attack.run --seconds 60 --seed 7

One server that everybody may use gets one half of the time, one that requires authentication and permissions the other.
An attack that finds something ends the run, with the command that repeats it; what arrives when is different each time.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

from attack.clients import OPEN, SECURED, Target
from attack.requests import prepare
from error_support import assert_no_traceback
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.rpc.client import RpcClient
from fluss_server.testing import LocalCluster
from server.test_bounded_memory import status_bytes
from server.test_metrics import scrape, value
from torture.check import Check
from torture.client import Client
from torture.load import Load

MIB = 1 << 20
HONEST_LIMIT_S = 30.0
"""How long one request of the honest client may take; all clients share a process, and machines are busy."""
PROGRESS_LIMIT_S = 90.0
"""And each of its loops, which makes several."""
HONEST_PAUSE_S = 0.1
ATTACK_LIMIT_S = 120.0
IDLE_LIMIT_S = 40.0
STOP_LIMIT_S = 30.0

ROOT, NOBODY = ("root", "root_pass"), ("nobody", "nobody_pass")
OPTIONS = {
    "metrics.reporters": "prometheus",
    "metrics.reporter.prometheus.port": "0",
    "server.request.memory-size": "64mb",
    "server.response.memory-size": "32mb",
    "server.request.receive-timeout": "20s",
    "netty.server.max-request-size": "32mb",
    "kv.cache.size": "16mb",
    "kv.write-queue.size": "8mb",
    "kv.scanner.ttl": "1s",
    "kv.scanner.expiration-interval": "1s",
}
SECURITY = {
    "security.protocol.map": "FLUSS:SASL",
    "security.sasl.plain.credentials": f"{':'.join(ROOT)},{':'.join(NOBODY)}",
    "authorizer.enabled": "true",
    "super.users": "User:root",
}
BOUND_BYTES = (130 + 64 + 32 + 2 * 64 + 16 + 4 * 8) * MIB
"""As docs/operations.md adds it up for these options, without the rows that wait for their commit: few are written."""

IDLE = (
    ("server_requestMemoryBytes", 0),
    ("server_requestsWaitingForMemory", 0),
    ("server_responseMemoryBytes", 0),
    ("server_kvScannerCount", 0),
    ("server_connectionCount", 0),
    ("tabletserver_delayedFetchCount", 0),
    ("tabletserver_delayedWriteCount", 0),
)
"""Metrics of a server without clients."""


class Siege:
    """One server, its honest client and those who attack it.

    Args:
        data: its data directory.
        rng: makes all choices.
        secured: with authentication and permissions.

    Attributes:
        target: what was done, and returned.
        summary: a line about it.
    """

    def __init__(self, data: Path, rng: Random, *, secured: bool) -> None:
        self._secured = secured
        self._rng = rng
        options = OPTIONS | SECURITY if secured else OPTIONS
        self.cluster = LocalCluster(data, grpc=True, options=options)
        self._root = ROOT if secured else None
        self.summary = ""
        self.target: Target
        self._load: Load

    async def run(self, seconds: float, requests: int = 0) -> None:
        """Attack for so long, and check everything.

        Args:
            seconds: of the attack.
            requests: how many fuzzed ones must have had their response; it goes on until then.

        Raises:
            AssertionError: a promise is broken.
        """
        await asyncio.to_thread(self.cluster.start)
        try:
            assert self.cluster.grpc_port is not None
            authentication = NOBODY if self._secured else None
            self.target = Target(self.cluster.port, self.cluster.grpc_port, self._rng, authentication)
            # The honest client repeats nothing: an error, or no response in time, ends the run.
            self._load = Load(
                self.cluster.port,
                Random(self._rng.getrandbits(64)),
                frozenset({ErrorCode.STORAGE_BACKPRESSURE_EXCEPTION}),
                self._refused,
                database="honest",
                authentication=self._root,
                pause_s=HONEST_PAUSE_S,
                timeout_s=HONEST_LIMIT_S,
            )
            try:
                await self._prepare()
                self._load.start()
                await self._attack(seconds, requests)
                await self._load.finish()
            finally:
                await self._load.end()
            await self._check_data()
            await self._check_everything_is_released()
            await self._check_memory()
            await self._restart()
        finally:
            self.cluster.kill()

    async def _prepare(self) -> None:
        client = await RpcClient.connect("127.0.0.1", self.cluster.port, authentication=self._root)
        await prepare(client, self.target.fuzz)
        await client.close()
        await self._load.prepare()

    def _refused(self, error: FlussError) -> None:
        assert error.code is ErrorCode.STORAGE_BACKPRESSURE_EXCEPTION, f"the honest client gets {error}"

    async def _attack(self, seconds: float, requests: int) -> None:
        attacks = [asyncio.create_task(attack(self.target)) for attack in (SECURED if self._secured else OPEN)]
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end or self.target.counts["requests"] < requests:
                assert time.monotonic() < end + ATTACK_LIMIT_S, f"too slow: {dict(self.target.counts)}"
                done, _ = await asyncio.wait(attacks, timeout=0.5, return_when=asyncio.FIRST_EXCEPTION)
                for task in done:
                    task.result()
                behind = await self._load.wait(1, limit_s=PROGRESS_LIMIT_S)
                assert not behind, f"no progress of the honest client in {PROGRESS_LIMIT_S} s: {behind}"
                assert_no_traceback(self.cluster.log)
                await self._check_honest_read()
        finally:
            self.target.stop.set()
            outcomes = await asyncio.wait_for(asyncio.gather(*attacks, return_exceptions=True), 60)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _check_honest_read(self) -> None:
        """A read of the honest client's rows meanwhile, in time: some that were written are there, all are right."""
        expected = self._load.expected
        begun = time.monotonic()
        client = Client(self.cluster.port, authentication=self._root, timeout_s=HONEST_LIMIT_S)
        try:
            found = Check(client, expected)
            await found.read_some("log", 0)
        finally:
            await client.close()
        assert not found.problems, "\n".join(found.problems)
        assert not found.errors, found.errors
        took_s = time.monotonic() - begun
        assert took_s < HONEST_LIMIT_S, f"a read of the honest client took {took_s:.1f} s"

    async def _check_data(self) -> None:
        client = Client(self.cluster.port, authentication=self._root, timeout_s=HONEST_LIMIT_S)
        try:
            found = await Check(client, self._load.expected).run()
        finally:
            await client.close()
        assert not found.problems, "\n".join(found.problems)
        assert not found.errors, f"buckets of the honest client that cannot be read: {found.errors}"

    async def _check_everything_is_released(self) -> None:
        """Without clients the server is as it was before them."""
        deadline = time.monotonic() + IDLE_LIMIT_S
        while True:
            samples = await asyncio.to_thread(scrape, self.cluster)
            held = {name: value(samples, name) for name, idle in IDLE if value(samples, name) != idle}
            if not held:
                return
            assert time.monotonic() < deadline, f"not released within {IDLE_LIMIT_S} s: {held}"
            await asyncio.sleep(0.1)

    async def _check_memory(self) -> None:
        peak = status_bytes(self.cluster.pid, "VmHWM")
        target = self.target
        self.summary = (
            f"{'secured' if self._secured else 'open'}: peak {peak // MIB} MiB of {BOUND_BYTES // MIB},"
            f" honest rows {self._load.expected.acknowledged_rows}, {dict(target.counts)},"
            f" {len(target.codes)} error codes, {len(target.answered)} APIs with a success"
        )
        assert peak < BOUND_BYTES, self.summary

    async def _restart(self) -> None:
        """A clean stop in time, and a start with the honest client's data."""
        begun = time.monotonic()
        code = await asyncio.to_thread(self.cluster.stop, STOP_LIMIT_S)
        assert code == 0, f"the server ended with code {code} after {time.monotonic() - begun:.1f} s"
        assert_no_traceback(self.cluster.log)
        await asyncio.to_thread(self.cluster.start)
        await self._check_data()
        await self._load.write_once_more()
        await self._check_data()
        code = await asyncio.to_thread(self.cluster.stop, STOP_LIMIT_S)
        assert code == 0, f"the restarted server ended with code {code}"


def attack(parent: Path, seed: int, seconds: float, requests: int = 0) -> list[Siege]:
    """Both servers, one after the other.

    Args:
        parent: gets their data directories.
        seed: of all choices.
        seconds: of attack, for both together.
        requests: see :meth:`Siege.run`; for the server that everybody may use.

    Raises:
        AssertionError: with the command that repeats it.
    """
    sieges = []
    for secured in (False, True):
        siege = Siege(parent / f"data-{int(secured)}", Random(f"{seed}/{secured}"), secured=secured)
        try:
            asyncio.run(siege.run(seconds / 2, 0 if secured else requests))
        except (AssertionError, RuntimeError, FlussError, asyncio.TimeoutError) as error:
            raise AssertionError(
                f"{'secured' if secured else 'open'} server: {type(error).__name__} {error}\n"
                f"  its files are in {parent}; its log:\n{_without_routine(siege.cluster.log)}\n"
                f"  repeat with: make attack SEED={seed} SECONDS={seconds:.0f}"
            ) from error
        sieges.append(siege)
    return sieges


def _without_routine(log: str) -> str:
    """The last lines of a server's log, without those that every attack makes."""
    lines = [line for line in log.splitlines() if "a request did not arrive" not in line and ": a frame of" not in line]
    return "\n".join(lines[-25:])


def main() -> int:
    """The command; exit code 1 when something is found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="for both servers together, without start and end")
    parser.add_argument("--seed", type=int, default=None, help="default: a new one")
    parsed = parser.parse_args()
    seed = time.time_ns() % 2**32 if parsed.seed is None else parsed.seed
    print(f"seed {seed}", flush=True)
    try:
        for siege in attack(Path(tempfile.mkdtemp(prefix="fluss-attack-")), seed, parsed.seconds):
            print(siege.summary)
            print(f"  error codes: {dict(Counter({code.name: count for code, count in siege.target.codes.items()}))}")
    except AssertionError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
