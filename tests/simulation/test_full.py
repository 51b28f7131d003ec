"""Coordinators, tablet servers and clients in simulated time: one seed is one run, and a planted bug is found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]


def simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "simulation.simulate", "--workers", "1", *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join((str(TESTS), os.environ.get("PYTHONPATH", "")))},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_seed_runs_the_same_way_twice() -> None:
    ended = simulate("--first", "2", "--count", "1", "--seconds", "4")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "1 seeds, each twice" in ended.stdout
    assert "failed seeds: none" in ended.stdout


def test_a_planted_bug_is_found() -> None:
    ended = simulate("--planted", "1", "--seconds", "4", "--bug", "acknowledge before replication")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "acknowledge before replication: 1 of 1 seeds" in ended.stdout
