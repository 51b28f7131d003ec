"""The short version of ``make torture``: two rounds, of kinds that the seed chooses."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from torture.rounds import KINDS
from torture.run import run_rounds

SEED = int(os.environ.get("FLUSS_TORTURE_SEED", str(time.time_ns() % 2**32)))
ROUNDS = 2


@pytest.mark.crash
@pytest.mark.slow
def test_nothing_acknowledged_is_lost_silently(tmp_path: Path) -> None:
    print(f"repeat with FLUSS_TORTURE_SEED={SEED}; more: make torture ROUNDS=50")
    kinds = run_rounds(tmp_path, SEED, SEED % len(KINDS), ROUNDS)
    assert kinds.total() == ROUNDS
