"""The short version of ``make torture``: one round of each kind that differs in what it checks."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from torture.run import run_rounds

SEED = int(os.environ.get("FLUSS_TORTURE_SEED", str(time.time_ns() % 2**32)))
ROUNDS = 3


@pytest.mark.crash
@pytest.mark.slow
def test_nothing_acknowledged_is_lost_silently(tmp_path: Path) -> None:
    """Loss of power, damage, a full disk."""
    print(f"repeat with FLUSS_TORTURE_SEED={SEED}; more: make torture ROUNDS=50")
    kinds = run_rounds(tmp_path, SEED, 0, ROUNDS)
    assert set(kinds) == {"power", "damage", "full disk"}
