"""The whole one-node server in simulated time: crashes lose nothing acknowledged, and one seed is one run."""

from __future__ import annotations

import pytest

from fluss_server.simulation import Simulation
from simulation.conversation import Conversation


def converse(seed: int) -> tuple[str, Conversation]:
    with Simulation(seed) as simulation:
        conversation = Conversation(simulation, operations=1_000, crashes=3)
        try:
            simulation.run(conversation.run())
        except BaseException:
            print("\n".join(simulation.trace.tail(50)))
            print(f"repeat with: make simulation SEED={seed}")
            raise
        return simulation.trace.digest(), conversation


@pytest.mark.parametrize("seed", [1])
def test_a_conversation_with_crashes_runs_the_same_way_twice(seed: int) -> None:
    first, conversation = converse(seed)
    assert conversation.done.total() == 1_000
    assert len(conversation.crashes) == 4
    second, _ = converse(seed)
    assert first == second
