"""The whole one-node server in simulated time: crashes lose nothing acknowledged, and one seed is one run."""

from __future__ import annotations

import pytest

from simulation.run import converse


@pytest.mark.parametrize("seed", [1])
def test_a_conversation_with_crashes_runs_the_same_way_twice(seed: int) -> None:
    first, conversation = converse(seed)
    assert conversation.done.total() == 1_000
    assert conversation.crashes == ["power", "kill", "power", "power"]
    second, _ = converse(seed)
    assert first == second
