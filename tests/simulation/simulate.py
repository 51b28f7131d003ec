"""Simulates with many seeds, on all processors, each seed twice: ``make simulate SEEDS=100``.

    python -m simulation.simulate --count 100
    python -m simulation.simulate --scenario rebalance --count 10
    python -m simulation.simulate --planted 10

``scenarios.py`` says what there is. The first one is a cluster of three coordinators, four tablet servers and their
clients, as processes; see ``full_faults.py`` for what goes wrong and ``cluster_checks.py`` for what must hold. Two runs
of a seed must have the same trace hash. A seed that fails prints its last steps and the command that repeats it; the
others go on. With ``--record`` a run can be continued. ``--planted`` plants one bug after the other and counts the
seeds that find it. ``--publish`` puts what came out into the fault report.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import gc
import io
import logging
import os
import subprocess
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from multiprocessing import get_context
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

from fluss_server.kv.rocks import RocksStore
from simulation.planted_bugs import BUGS, found_by
from simulation.results import PlantedBug, Record, Result, Totals, markdown, planted_markdown, summary
from simulation.scenario import command_of
from simulation.scenarios import SCENARIOS

PRELOADED = "simulation.preloaded"


def run_twice(seed: int, scenario: str, seconds: float) -> Result:
    """Run a seed twice, in a process of its own."""
    begin = time.process_time()
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
        round(time.process_time() - begin, 3),
    )


def find_bug(name: str, seed: int, scenario: str, seconds: float) -> str | None:
    """What a run with a planted bug says; None if it finds nothing."""
    return found_by(name, partial(SCENARIOS[scenario].run, seed, seconds))


def _begin_worker() -> None:
    """Prepare a process for one seed.

    Killed processes of a run leave stores that nobody has closed. They are kept until the process ends: RocksDB would
    wait a second for each, and hold the GIL, because its files are gone.
    """
    gc.freeze()
    gc.disable()
    logging.disable()
    warnings.simplefilter("ignore")  # of coroutines that a killed process has not begun
    sys.unraisablehook = lambda unraisable: None  # they cannot clean up either, and Python would report each of them
    RocksStore.__init__ = _kept(RocksStore.__init__)  # type: ignore[method-assign]


_stores: list[RocksStore] = []


def _kept(begin: Callable[..., None]) -> Callable[..., None]:
    """The initializer of stores that are never collected."""

    def __init__(self: RocksStore, *arguments: Any, **options: Any) -> None:
        _stores.append(self)
        begin(self, *arguments, **options)

    return __init__


def _pool(jobs: int) -> Pool:
    """A fresh process for each seed, a copy of one that has imported everything."""
    context = get_context("forkserver")
    context.set_forkserver_preload([PRELOADED])
    return context.Pool(jobs, _begin_worker, maxtasksperchild=1)


def simulate(
    seeds: Iterable[int], scenario: str, seconds: float, jobs: int, record: Record | None = None
) -> tuple[Totals, float]:
    """Run seeds.

    Args:
        seeds: to run; not again those that ``record`` has without a problem.
        scenario: see ``scenarios.py``.
        seconds: of virtual time in which there are faults.
        jobs: processes.
        record: where results are, and go.

    Returns:
        what became of the seeds, with those of ``record``, and the seeds per minute of this run.
    """
    begin = time.monotonic()
    totals, wanted, done = Totals(), dict.fromkeys(seeds), 0
    for result in record.read() if record is not None else ():
        if result.seed in wanted:
            totals.add(result)
    open_seeds = [seed for seed in wanted if seed not in totals.results or totals.results[seed].problem is not None]
    with _pool(jobs) as pool:
        for result in pool.imap_unordered(partial(run_twice, scenario=scenario, seconds=seconds), open_seeds):
            done += 1
            totals.add(result)
            if record is not None:
                record.add(result)
            if result.problem is not None:
                print(f"{result.report}\nseed {result.seed} FAILED: {result.problem}", flush=True)
                print(f"repeat with: {command_of(scenario, result.seed, seconds)}", flush=True)
            if done % 10 == 0:
                print(f"{done} seeds, {len(totals.failed)} failed, {time.monotonic() - begin:.0f} s", flush=True)
    elapsed_s = time.monotonic() - begin
    print(f"{done} seeds, each twice, in {elapsed_s:.0f} s: {60 * done / elapsed_s:.1f} seeds per minute")
    print("\n".join(summary(totals)))
    return totals, 60 * done / elapsed_s


def plant(seeds: Iterable[int], scenario: str, seconds: float, jobs: int, only: str | None) -> list[PlantedBug]:
    """Plant each bug in some seeds."""
    tried = list(seeds)
    bugs = []
    with _pool(jobs) as pool:
        for name in BUGS:
            if only not in (None, name):
                continue
            said = pool.map(partial(find_bug, name, scenario=scenario, seconds=seconds), tried, chunksize=1)
            found = {seed: what for seed, what in zip(tried, said, strict=True) if what is not None}
            bug = PlantedBug(name, found, len(tried))
            example = next((f"seed {seed}: {what}" for seed, what in found.items()), "nothing")
            print(f"{name}: {len(found)} of {bug.seeds} seeds; {example}", flush=True)
            bugs.append(bug)
    return bugs


def _commit() -> str:
    """Of the sources, as the report names it."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", choices=list(SCENARIOS), default=next(iter(SCENARIOS)), help="what to simulate")
    parser.add_argument("--first", type=int, default=1, help="first seed")
    parser.add_argument("--count", type=int, default=100, help="number of seeds")
    parser.add_argument("--seconds", type=float, help="virtual time in which there are faults")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--record", type=Path, help="a file with results of seeds, which are not run again")
    parser.add_argument("--planted", type=int, metavar="SEEDS", help="plant every bug in so many seeds instead")
    parser.add_argument("--bug", choices=sorted(BUGS), help="plant only this one")
    parser.add_argument("--publish", type=Path, metavar="DOCUMENT", help="put the results into docs/fault-report.md")
    arguments = parser.parse_args()
    scenario, jobs, first = arguments.scenario, arguments.jobs, arguments.first
    seconds = SCENARIOS[scenario].seconds if arguments.seconds is None else arguments.seconds
    facts = {"date": datetime.date.today().isoformat(), "commit": _commit()}
    if arguments.publish is not None:
        from chaos.report import put_into  # not for the process of every seed, which imports this module, too
    if arguments.planted:
        bugs = plant(range(first, first + arguments.planted), scenario, seconds, jobs, arguments.bug)
        if arguments.publish is not None:
            put_into(arguments.publish, "planted", planted_markdown(bugs, **facts))
        sys.exit(any(not bug.found for bug in bugs))
    record = None if arguments.record is None else Record(arguments.record)
    totals, speed = simulate(range(first, first + arguments.count), scenario, seconds, jobs, record)
    if arguments.publish is not None:
        run = f"{speed:.1f} seeds per minute in {jobs} processes on {os.cpu_count()} cores"
        put_into(arguments.publish, "simulation", markdown(totals, run=run, **facts))
    sys.exit(bool(totals.failed))


if __name__ == "__main__":
    main()
