"""A coordinator goes on being a candidate, whatever ended its term."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fluss_server.metadata.embedded import EmbeddedMetadataStore
from fluss_server.metadata.participant import Participant
from fluss_server.processes.coordinator import CoordinatorProcess
from fluss_server.processes.coordinator_term import CoordinatorTerm
from fluss_server.processes.shared_metadata import Latch, SharedStore
from fluss_server.runtime.runtime import Runtime
from rpc_support import async_test, eventually


class OnlyCandidate:
    """A ``Latch`` without others.

    Attributes:
        failures: what the next attempts to acquire it raise.
        releases: how often it was released.
    """

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.releases = 0

    async def acquire(self) -> None:
        if self.failures:
            raise self.failures.pop()

    async def lost(self) -> None:
        await asyncio.Event().wait()

    async def release(self) -> None:
        self.releases += 1

    async def nodes(self) -> list[Participant]:
        return []

    async def remove(self, participant: Participant) -> None:
        raise AssertionError("there is no other one")

    def close(self) -> None:
        """Nothing is open."""


class OneStore:
    """A ``SharedMetadata`` of one process."""

    def __init__(self, path: Path, latch: Latch) -> None:
        self._path = path
        self._latch = latch

    async def connect(self, runtime: Runtime) -> SharedStore:
        return SharedStore(EmbeddedMetadataStore.open(self._path, runtime), lambda _: self._latch)


@async_test
async def test_an_unexpected_error_does_not_end_the_candidacy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    announce = CoordinatorTerm.announce
    failures: list[Exception] = [ValueError("unexpected")]

    async def announce_at_last(term: CoordinatorTerm) -> None:
        if failures:
            raise failures.pop()
        await announce(term)

    monkeypatch.setattr(CoordinatorTerm, "announce", announce_at_last)
    latch = OnlyCandidate(ValueError("unexpected, too"))
    process = CoordinatorProcess(tmp_path / "c", metadata=OneStore(tmp_path / "m", latch))
    await process.start()
    try:
        await eventually(lambda: latch.releases == 2 and process.epoch is not None)
        assert process.epoch == 1, "the second term is the first that could begin"
    finally:
        await process.close()
