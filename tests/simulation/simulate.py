"""Simulates with many seeds, on all processors, each seed twice: ``make simulate SEEDS=100``.

    python -m simulation.simulate --count 100
    python -m simulation.simulate --scenario rebalance --count 10
    python -m simulation.simulate --planted 10

``scenarios.py`` says what there is. The first one is a cluster of three coordinators, four tablet servers and their
clients, as processes; see ``full_faults.py`` for what goes wrong and ``cluster_checks.py`` for what must hold. Two runs
of a seed must have the same trace hash. A seed that fails prints its last steps and the command that repeats it; the
others go on. ``--planted`` plants one bug after the other and counts the seeds that find it.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import logging
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from multiprocessing import get_context
from multiprocessing.pool import Pool
from typing import NamedTuple

from simulation.planted_bugs import BUGS, found_by
from simulation.scenario import command_of
from simulation.scenarios import SCENARIOS

PRELOADED = "simulation.preloaded"


class Result(NamedTuple):
    """What became of a seed.

    Attributes:
        seed: which.
        problem: what was wrong, None for nothing.
        report: for people: the last steps and the traceback of a problem.
        trace: hash of the first run.
        seconds: of virtual time, of all runs.
        faults: by kind, of all runs.
        counts: of other things, of all runs.
    """

    seed: int
    problem: str | None
    report: str = ""
    trace: str = ""
    seconds: float = 0.0
    faults: Mapping[str, int] = {}
    counts: Mapping[str, int] = {}


def run_twice(seed: int, scenario: str, seconds: float) -> Result:
    """Run a seed twice, in a process of its own."""
    printed = io.StringIO()
    run = SCENARIOS[scenario].run
    try:
        with contextlib.redirect_stdout(printed):
            first, second = run(seed, seconds), run(seed, seconds)
    except Exception as error:
        report = printed.getvalue() + traceback.format_exc()
        return Result(seed, f"{type(error).__name__}: {error}".splitlines()[0], report)
    return Result(
        seed,
        None if first.trace == second.trace else f"it ran in two ways: {first.trace} and {second.trace}",
        "",
        first.trace,
        first.seconds + second.seconds,
        Counter(first.faults) + Counter(second.faults),
        Counter(first.counts) + Counter(second.counts),
    )


def find_bug(name: str, seed: int, scenario: str, seconds: float) -> str | None:
    """What a run with a planted bug says; None if it finds nothing."""
    return found_by(name, partial(SCENARIOS[scenario].run, seed, seconds))


def _begin_worker() -> None:
    """Prepare a process for one seed.

    Killed processes of a run leave stores that nobody has closed. They are not collected: RocksDB would wait a second
    for each, because its files are gone. They take little memory, and the process ends soon.
    """
    gc.freeze()
    gc.disable()
    logging.disable()
    sys.unraisablehook = lambda unraisable: None  # they cannot clean up either, and Python would report each of them


def _pool(jobs: int) -> Pool:
    """A fresh process for each seed, a copy of one that has imported everything."""
    context = get_context("forkserver")
    context.set_forkserver_preload([PRELOADED])
    return context.Pool(jobs, _begin_worker, maxtasksperchild=1)


def simulate(seeds: Iterable[int], scenario: str, seconds: float, jobs: int) -> int:
    """Run seeds; returns how many failed."""
    begin = time.monotonic()
    faults: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    failed: list[Result] = []
    done, simulated_s = 0, 0.0
    with _pool(jobs) as pool:
        for result in pool.imap_unordered(partial(run_twice, scenario=scenario, seconds=seconds), seeds):
            done += 1
            if result.problem is not None:
                failed.append(result)
                print(f"{result.report}\nseed {result.seed} FAILED: {result.problem}", flush=True)
                print(f"repeat with: {command_of(scenario, result.seed, seconds)}", flush=True)
            faults.update(result.faults)
            counts.update(result.counts)
            simulated_s += result.seconds
            if done % 10 == 0:
                print(f"{done} seeds, {len(failed)} failed, {time.monotonic() - begin:.0f} s", flush=True)
    elapsed_s = time.monotonic() - begin
    print(f"{done} seeds, each twice, in {elapsed_s:.0f} s: {60 * done / elapsed_s:.0f} seeds per minute")
    print(", ".join([f"{simulated_s / 3600:.1f} simulated hours", *(f"{n} {name}" for name, n in counts.items())]))
    print("faults: " + ", ".join(f"{count} {kind}" for kind, count in faults.most_common()))
    print(f"failed seeds: {', '.join(str(result.seed) for result in failed) or 'none'}")
    return len(failed)


def plant(seeds: Iterable[int], scenario: str, seconds: float, jobs: int, only: str | None) -> int:
    """Plant each bug in some seeds; returns how many bugs no seed has found."""
    missed, tried = 0, list(seeds)
    with _pool(jobs) as pool:
        for name in BUGS:
            if only not in (None, name):
                continue
            found = pool.map(partial(find_bug, name, scenario=scenario, seconds=seconds), tried, chunksize=1)
            caught = [what for what in found if what is not None]
            print(f"{name}: {len(caught)} of {len(tried)} seeds; {caught[0] if caught else 'nothing'}", flush=True)
            missed += not caught
    return missed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", choices=list(SCENARIOS), default=next(iter(SCENARIOS)), help="what to simulate")
    parser.add_argument("--first", type=int, default=1, help="first seed")
    parser.add_argument("--count", type=int, default=100, help="number of seeds")
    parser.add_argument("--seconds", type=float, help="virtual time in which there are faults")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--planted", type=int, metavar="SEEDS", help="plant every bug in so many seeds instead")
    parser.add_argument("--bug", choices=sorted(BUGS), help="plant only this one")
    arguments = parser.parse_args()
    scenario, jobs, first = arguments.scenario, arguments.jobs, arguments.first
    seconds = SCENARIOS[scenario].seconds if arguments.seconds is None else arguments.seconds
    if arguments.planted:
        seeds = range(first, first + arguments.planted)
        sys.exit(bool(plant(seeds, scenario, seconds, jobs, arguments.bug)))
    sys.exit(bool(simulate(range(first, first + arguments.count), scenario, seconds, jobs)))


if __name__ == "__main__":
    main()
