"""The short version of ``make attack``."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from attack.run import attack

SEED = int(os.environ.get("FLUSS_ATTACK_SEED", str(time.time_ns() % 2**32)))
SECONDS = 6.0
REQUESTS = 400


@pytest.mark.slow
def test_an_honest_client_is_served_and_nothing_is_left_behind(tmp_path: Path) -> None:
    print(f"repeat with FLUSS_ATTACK_SEED={SEED}; more: make attack SECONDS=120")
    opened, secured = attack(tmp_path, SEED, SECONDS, REQUESTS)
    print(opened.summary, secured.summary, sep="\n")
    assert len(opened.target.codes) > 15, opened.target.codes
    assert len(opened.target.answered) > 25, opened.target.answered
