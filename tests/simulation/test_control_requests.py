"""Control requests that are lost, come twice or come late leave every tablet server with what the coordinator has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]


def test_servers_agree_after_lost_repeated_and_late_requests() -> None:
    """In processes of their own, because a run silences all logging."""
    ended = subprocess.run(
        [sys.executable, "-m", "simulation.control_faults", "--first", "3", "--count", "3"],
        env=os.environ | {"PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    for event in ("lost", "late", "twice", "no response", "repeated without effect", "kill coordinator", "kill tablet"):
        assert f"{event} " in ended.stdout
    assert "late: INVALID_UPDATE_VERSION_EXCEPTION" in ended.stdout, "behind a newer one"
    assert "late: INVALID_COORDINATOR_EXCEPTION" in ended.stdout, "of a coordinator that is gone"


def test_one_seed_is_one_run() -> None:
    outputs = {
        subprocess.run(
            [sys.executable, "-m", "simulation.control_faults", "--first", "6", "--count", "1"],
            env=os.environ | {"PYTHONPATH": str(TESTS)},
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        ).stdout
        for _ in range(2)
    }
    assert len(outputs) == 1
