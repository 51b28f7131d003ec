"""Runs the simulated conversation with many seeds, each twice, until one fails.

    python -m simulation.run --first 1 --count 100

A failing seed prints its last steps and the command that repeats it; two runs of a seed must have the same trace hash.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
import traceback

from fluss_server.simulation import Simulation
from simulation.conversation import Conversation


def converse(seed: int, *, operations: int = 1_000, crashes: int = 3) -> tuple[str, Conversation]:
    """One run; returns its trace hash and what happened.

    Raises:
        Exception: whatever was wrong, after printing how to repeat it.
    """
    with Simulation(seed) as simulation:
        conversation = Conversation(simulation, operations=operations, crashes=crashes)
        try:
            simulation.run(conversation.run())
        except BaseException:
            print("\n".join(simulation.trace.tail(50)))
            print(f"repeat with: make simulation SEED={seed}")
            raise
        return simulation.trace.digest(), conversation


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=1, help="first seed")
    parser.add_argument("--count", type=int, default=100, help="number of seeds")
    arguments = parser.parse_args()
    logging.disable()
    begin = time.monotonic()
    for seed in range(arguments.first, arguments.first + arguments.count):
        try:
            first, conversation = converse(seed)
            second, _ = converse(seed)
        except Exception:
            traceback.print_exc()
            sys.exit(1)
        if first != second:
            sys.exit(f"seed {seed} ran in two ways: {first} and {second}")
        crashes = ", ".join(conversation.crashes)
        print(f"seed {seed}: {conversation.done.total()} operations, crashes: {crashes}; trace {first}", flush=True)
    print(f"{arguments.count} seeds, each twice, in {time.monotonic() - begin:.0f} s: nothing acknowledged was lost")


if __name__ == "__main__":
    main()
