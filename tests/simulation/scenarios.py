"""What can be simulated: each scenario runs one seed and says what happened, in one form for all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

from fluss_server.simulation import Simulation
from simulation.cluster_run import run_cluster
from simulation.control_faults import disturbed
from simulation.conversation import Conversation
from simulation.full_run import run_full
from simulation.rebalance_run import run_rebalance
from simulation.scenario import Outcome, repeated_with

OPERATIONS, CRASHES = 1_000, 3


class Ran(NamedTuple):
    """What happened in one run.

    Attributes:
        trace: its hash.
        seconds: of virtual time.
        faults: by kind.
        counts: of other things, by name.
    """

    trace: str
    seconds: float
    faults: Mapping[str, int]
    counts: Mapping[str, int]


class Scenario(NamedTuple):
    """Something that can be simulated.

    Attributes:
        run: one seed, with so many seconds of virtual time in which things go wrong. It raises what was wrong.
        seconds: as many unless somebody says otherwise; 0 if the scenario takes as long as its operations do.
    """

    run: Callable[[int, float], Ran]
    seconds: float


def _of_cluster(outcome: Outcome) -> Ran:
    counts = {
        "checks": outcome.checks,
        "acknowledged rows": outcome.acknowledged,
        "promoted standby replicas": outcome.promotions,
        **outcome.calls,
    }
    return Ran(outcome.trace, outcome.seconds, outcome.faults, counts)


def _cluster(seed: int, seconds: float) -> Ran:
    return _of_cluster(run_full(seed, seconds=seconds))


def _replication(seed: int, seconds: float) -> Ran:
    return _of_cluster(run_cluster(seed, seconds=seconds))


def _rebalance(seed: int, seconds: float) -> Ran:
    outcome = run_rebalance(seed, seconds=seconds)
    counts = {"acknowledged rows": outcome.acknowledged, "moved replicas": outcome.moved}
    return Ran(outcome.trace, outcome.seconds, outcome.faults, counts)


def _control_requests(seed: int, seconds: float) -> Ran:
    trace, faults, virtual_s = disturbed(seed)
    return Ran(trace, virtual_s, faults, {})


def _server(seed: int, seconds: float) -> Ran:
    with Simulation(seed) as simulation:
        conversation = Conversation(simulation, operations=OPERATIONS, crashes=CRASHES)
        with repeated_with(simulation, "server", seed, seconds):
            simulation.run(conversation.run())
        counts = {"operations": conversation.done.total()}
        return Ran(simulation.trace.digest(), simulation.loop.time(), Counter(conversation.crashes), counts)


SCENARIOS = {
    "cluster": Scenario(_cluster, 8.0),
    "replication": Scenario(_replication, 20.0),
    "rebalance": Scenario(_rebalance, 20.0),
    "control-requests": Scenario(_control_requests, 0.0),
    "server": Scenario(_server, 0.0),
}
"""``cluster``: three coordinators and four tablet servers as processes. ``replication``: a coordinator and three tablet
servers. ``rebalance``: the same with a fourth server that comes and goes. ``control-requests``: requests between
coordinator and tablet servers are lost, come twice and come late. ``server``: one server that crashes."""
