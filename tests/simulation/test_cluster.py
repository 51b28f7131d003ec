"""Three tablet servers in simulated time: crashes and cut links lose nothing acknowledged, and one seed is one run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]


def test_a_cluster_with_faults_runs_the_same_way_twice() -> None:
    """In a process of its own, as ``make simulation CLUSTER=1`` runs it."""
    ended = subprocess.run(
        [sys.executable, "-m", "simulation.run", "--cluster", "--first", "1", "--count", "2", "--seconds", "4"],
        env=os.environ | {"PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "rows acknowledged" in ended.stdout
    assert "2 seeds, each twice" in ended.stdout


def test_a_fourth_server_comes_and_goes_while_servers_crash() -> None:
    """Its buckets move there and away again, and no bucket keeps old and new replicas."""
    ended = subprocess.run(
        [sys.executable, "-m", "simulation.run", "--rebalance", "--first", "1", "--count", "1", "--seconds", "4"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (str(TESTS), os.environ.get("PYTHONPATH"))))},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "1 seeds, each twice" in ended.stdout


def test_a_planted_bug_is_found() -> None:
    """Acknowledging what no follower has is noticed."""
    command = [sys.executable, "-m", "simulation.planted_bugs", "--seeds", "1", "--seconds", "4"]
    ended = subprocess.run(
        [*command, "--bug", "acknowledge before replication"],
        env=os.environ | {"PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "acknowledge before replication: 1 of 1 seeds" in ended.stdout
