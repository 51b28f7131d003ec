"""Runs a simulation with many seeds, each twice, until one fails: a server that crashes, a cluster, or a rebalance.

    python -m simulation.run --first 1 --count 100
    python -m simulation.run --cluster --first 1 --count 100
    python -m simulation.run --rebalance --first 1 --count 100

A failing seed prints its last steps and the command that repeats it; two runs of a seed must have the same trace hash.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
import traceback

from fluss_server.simulation import Simulation
from simulation.cluster_run import run_cluster
from simulation.conversation import Conversation
from simulation.rebalance_run import run_rebalance
from simulation.scenario import repeated_with


def converse(seed: int, *, operations: int = 1_000, crashes: int = 3) -> tuple[str, Conversation]:
    """One run; returns its trace hash and what happened.

    Raises:
        Exception: whatever was wrong, after printing how to repeat it.
    """
    with Simulation(seed) as simulation:
        conversation = Conversation(simulation, operations=operations, crashes=crashes)
        with repeated_with(simulation, f"make simulation SEED={seed}"):
            simulation.run(conversation.run())
        return simulation.trace.digest(), conversation


def converse_in_words(seed: int, seconds: float) -> tuple[str, str]:
    """One run of the conversation; returns its trace hash and what happened."""
    trace, conversation = converse(seed)
    return trace, f"{conversation.done.total()} operations, crashes: {', '.join(conversation.crashes)}"


def cluster_in_words(seed: int, seconds: float) -> tuple[str, str]:
    """One run of the cluster; returns its trace hash and what happened."""
    outcome = run_cluster(seed, seconds=seconds)
    faults = ", ".join(f"{count} {kind}" for kind, count in sorted(outcome.faults.items()))
    return outcome.trace, (
        f"{outcome.acknowledged} rows acknowledged, {outcome.read} read, {outcome.promotions} standbys promoted,"
        f" {outcome.seconds:.0f} s, faults: {faults}"
    )


def rebalance_in_words(seed: int, seconds: float) -> tuple[str, str]:
    """One run of a rebalance; returns its trace hash and what happened."""
    outcome = run_rebalance(seed, seconds=seconds)
    faults = ", ".join(f"{count} {kind}" for kind, count in sorted(outcome.faults.items()))
    return outcome.trace, f"{outcome.acknowledged} rows acknowledged, {outcome.moved} buckets moved, faults: {faults}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=1, help="first seed")
    parser.add_argument("--count", type=int, default=100, help="number of seeds")
    parser.add_argument("--cluster", action="store_true", help="a coordinator and three tablet servers")
    parser.add_argument(
        "--rebalance", action="store_true", help="a cluster that gets a fourth server and loses it again"
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="virtual time in which a cluster has faults")
    arguments = parser.parse_args()
    logging.disable()
    run = cluster_in_words if arguments.cluster else rebalance_in_words if arguments.rebalance else converse_in_words
    begin = time.monotonic()
    for seed in range(arguments.first, arguments.first + arguments.count):
        try:
            first, what = run(seed, arguments.seconds)
            second, _ = run(seed, arguments.seconds)
        except Exception:
            traceback.print_exc()
            sys.exit(1)
        if first != second:
            sys.exit(f"seed {seed} ran in two ways: {first} and {second}")
        print(f"seed {seed}: {what}; trace {first}", flush=True)
    print(f"{arguments.count} seeds, each twice, in {time.monotonic() - begin:.0f} s: nothing acknowledged was lost")


if __name__ == "__main__":
    main()
