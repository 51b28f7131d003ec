"""Simulates a whole cluster with many seeds, on all processors, each seed twice: ``make simulate SEEDS=100``.

    python -m simulation.simulate --count 100
    python -m simulation.simulate --planted 10

Three coordinators, four tablet servers and their clients; see ``full_faults.py`` for what goes wrong and
``cluster_checks.py`` for what must hold. Two runs of a seed must have the same trace hash. A seed that fails prints
its last steps and the command that repeats it; the others go on. ``--planted`` plants one bug after the other and
counts the seeds that find it.
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
from collections.abc import Iterable, Iterator
from functools import partial
from multiprocessing import get_context
from multiprocessing.pool import Pool
from typing import NamedTuple

from simulation.full_run import run_full
from simulation.planted_bugs import BUGS, found_by

PRELOADED = "simulation.preloaded"


class Result(NamedTuple):
    """What became of a seed.

    Attributes:
        seed: which.
        problem: what was wrong, None for nothing.
        report: for people: the last steps and the traceback of a problem.
        trace: hash of the first run.
        acknowledged: rows.
        seconds: of virtual time, of all runs.
        faults: by kind, of all runs.
        checks: how often everything was looked at, in all runs.
    """

    seed: int
    problem: str | None
    report: str = ""
    trace: str = ""
    acknowledged: int = 0
    seconds: float = 0.0
    faults: tuple[tuple[str, int], ...] = ()
    checks: int = 0


def run_twice(seed: int, seconds: float) -> Result:
    """Run a seed twice, in a process of its own."""
    logging.disable()
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), _no_complaints(), _without_collector():
            first = run_full(seed, seconds=seconds)
            gc.collect()
            second = run_full(seed, seconds=seconds)
    except Exception as error:
        report = printed.getvalue() + traceback.format_exc()
        return Result(seed, f"{type(error).__name__}: {error}".splitlines()[0], report)
    problem = None if first.trace == second.trace else f"it ran in two ways: {first.trace} and {second.trace}"
    faults = Counter(first.faults) + Counter(second.faults)
    return Result(
        seed,
        problem,
        "",
        first.trace,
        first.acknowledged,
        first.seconds + second.seconds,
        tuple(sorted(faults.items())),
        first.checks + second.checks,
    )


def find_bug(name: str, seed: int, seconds: float) -> str | None:
    """What a run with a planted bug says; None if it finds nothing."""
    logging.disable()
    with _no_complaints(), _without_collector():
        return found_by(name, partial(run_full, seed, seconds=seconds))


@contextlib.contextmanager
def _no_complaints() -> Iterator[None]:
    """Processes that are killed at the end of a run cannot clean up; Python would report each of them."""
    before, sys.unraisablehook = sys.unraisablehook, lambda unraisable: None
    try:
        yield
    finally:
        sys.unraisablehook = before


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    """What killed processes leave takes little memory, and is not collected before the end of a run."""
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _pool(workers: int) -> Pool:
    """A fresh process for each seed, a copy of one that has imported everything."""
    context = get_context("forkserver")
    context.set_forkserver_preload([PRELOADED])
    return context.Pool(workers, maxtasksperchild=1)


def simulate(seeds: Iterable[int], seconds: float, workers: int) -> int:
    """Run seeds; returns how many failed."""
    begin = time.monotonic()
    faults: Counter[str] = Counter()
    failed: list[Result] = []
    done, simulated_s, acknowledged, checks = 0, 0.0, 0, 0
    with _pool(workers) as pool:
        for result in pool.imap_unordered(partial(run_twice, seconds=seconds), seeds):
            done += 1
            if result.problem is not None:
                failed.append(result)
                print(f"{result.report}\nseed {result.seed} FAILED: {result.problem}", flush=True)
                print(f"repeat with: make simulate SEED={result.seed} DURATION={seconds:g}", flush=True)
            faults.update(dict(result.faults))
            simulated_s += result.seconds
            acknowledged += result.acknowledged
            checks += result.checks
            if done % 10 == 0:
                print(f"{done} seeds, {len(failed)} failed, {time.monotonic() - begin:.0f} s", flush=True)
    elapsed_s = time.monotonic() - begin
    print(f"{done} seeds, each twice, in {elapsed_s:.0f} s: {60 * done / elapsed_s:.0f} seeds per minute")
    print(f"{simulated_s / 3600:.1f} simulated hours, {checks} checks, {acknowledged} acknowledged rows")
    print("faults: " + ", ".join(f"{count} {kind}" for kind, count in faults.most_common()))
    print(f"failed seeds: {', '.join(str(result.seed) for result in failed) or 'none'}")
    return len(failed)


def plant(seeds: int, seconds: float, workers: int, only: str | None) -> int:
    """Plant each bug in so many seeds; returns how many bugs no seed has found."""
    missed = 0
    with _pool(workers) as pool:
        for name in BUGS:
            if only not in (None, name):
                continue
            found = pool.map(partial(find_bug, name, seconds=seconds), range(1, seeds + 1), chunksize=1)
            caught = [what for what in found if what is not None]
            print(f"{name}: {len(caught)} of {seeds} seeds; {caught[0] if caught else 'nothing'}", flush=True)
            missed += not caught
    return missed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=1, help="first seed")
    parser.add_argument("--count", type=int, default=100, help="number of seeds")
    parser.add_argument("--seconds", type=float, default=8.0, help="virtual time in which a cluster has faults")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--planted", type=int, metavar="SEEDS", help="plant every bug in so many seeds instead")
    parser.add_argument("--bug", choices=sorted(BUGS), help="plant only this one")
    arguments = parser.parse_args()
    if arguments.planted:
        sys.exit(bool(plant(arguments.planted, arguments.seconds, arguments.workers, arguments.bug)))
    seeds = range(arguments.first, arguments.first + arguments.count)
    sys.exit(bool(simulate(seeds, arguments.seconds, arguments.workers)))


if __name__ == "__main__":
    main()
