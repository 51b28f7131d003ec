"""A short run of chaos: one round of each important fault, nothing may be violated."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from chaos.experiment import Plan, Result
from chaos.moves import NOTHING_MOVES, moves_plan
from chaos.moves import OPTIONS as MOVES_OPTIONS
from chaos.report import markdown, summary
from chaos.run import run
from chaos.servers import OurServers

pytestmark = pytest.mark.java
KINDS = ("kill leader", "pause leader", "cut one way", "kill coordinator", "rolling restart")


def short_run(plan: Plan, bug: str | None = None, *, moves: bool = False) -> Result:
    told: list[str] = []
    kind = OurServers(MOVES_OPTIONS if moves else None, bug)
    result = asyncio.run(run(kind, plan, small_disk=False, tell=told.append, moves=moves))
    print("\n".join(told))
    print(markdown(summary("fluss-server", plan, result)))
    return result


FOUND_IN_DATA = {"lost write", "duplicate", "order", "phantom", "changelog", "inconsistent offset", "stale lookup"}
FOUND_IN_DATA |= {"replicas differ", "broken"}


@pytest.mark.timeout(150)
def test_nothing_acknowledged_is_lost_whatever_fails() -> None:
    result = short_run(Plan(seed=1, seconds=120.0, faults=len(KINDS), kinds=KINDS, buckets=2))
    assert not result.violations
    assert {window.kind for window in result.history.windows} == set(KINDS)
    assert result.rows > 1_000


@pytest.mark.timeout(150)
def test_nothing_is_lost_while_servers_come_and_go() -> None:
    result = short_run(moves_plan(1, short=True), moves=True)
    assert not result.violations
    assert len(result.moves) == 3
    assert all(count > 0 for kind, count in result.moves.items() if kind != NOTHING_MOVES)


@pytest.mark.timeout(240)
def test_a_bug_is_found() -> None:
    """Not in every run: a client must have repeated a write that was in the log already."""
    kinds = ("kill leader", "kill all servers")
    plans = [Plan(seed=seed, seconds=10.0, faults=2, kinds=kinds, buckets=2, live_s=10.0) for seed in range(1, 9)]
    for plan in plans:
        if {violation.kind for violation in short_run(plan, bug="forget writer state").violations} & FOUND_IN_DATA:
            return
    pytest.fail("no run has found it")


def test_a_history_is_kept(tmp_path: Path) -> None:
    plan = Plan(seed=1, seconds=0.0, buckets=1)
    result = asyncio.run(run(OurServers(), plan, tmp_path, small_disk=False, tell=lambda text: None))
    assert not result.violations
    assert {path.name for path in tmp_path.iterdir()} >= {"history.jsonl", "server-0.log", "coordinator-0.log"}
