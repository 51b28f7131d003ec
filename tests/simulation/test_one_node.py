"""The whole one-node server in simulated time: crashes lose nothing acknowledged, and one seed is one run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]


def test_a_conversation_with_crashes_runs_the_same_way_twice() -> None:
    """In a process of its own, as ``make simulation`` runs it."""
    ended = subprocess.run(
        [sys.executable, "-m", "simulation.run", "--first", "1", "--count", "1"],
        env=os.environ | {"PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "seed 1: 1000 operations, crashes: power, kill, power, power; trace " in ended.stdout
    assert "1 seeds, each twice" in ended.stdout
