"""Chaos with real processes: three tablet servers, coordinators and ZooKeeper, clients, and one fault after the other.

    python -m chaos.run --minutes 30 --seed 1
    python -m chaos.run --minutes 5 --official
    python -m chaos.run --minutes 1 --bug "acknowledge before replication"
    python -m chaos.run --moves

The directory of the output gets the raw history, the logs of the servers, ``results.json``, and ``results.md`` with its
pictures. ``--results DIRECTORY --publish DOCUMENT`` publishes what an earlier run has left there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from chaos.checks import Violation
from chaos.experiment import Experiment, Plan, Result
from chaos.moves import OPTIONS as MOVES_OPTIONS
from chaos.moves import MovingExperiment, moves_plan
from chaos.report import publish, summary, write
from chaos.servers import Cluster, Kind, OurServers
from fluss_server.errors import FlussError

SMALL_DISK_BYTES = 192 << 20


async def run(
    kind: Kind,
    plan: Plan,
    output: Path | None = None,
    *,
    small_disk: bool = True,
    tell: Callable[[str], object] = print,
    moves: bool = False,
) -> Result:
    """One run in a directory that is removed afterwards.

    Args:
        kind: of servers.
        plan: what to do.
        output: for the history and logs; None = they are not kept.
        small_disk: give one server a disk that can be filled.
        tell: called with what happens.
        moves: servers come and go instead, see ``chaos.moves``.
    """
    directory = Path(tempfile.mkdtemp(prefix="fluss-chaos-"))
    try:
        async with Cluster(directory, kind, disk_bytes=SMALL_DISK_BYTES if small_disk else None) as cluster:
            experiment = (MovingExperiment if moves else Experiment)(cluster, plan, output, tell)
            try:
                await experiment.run()
            except (RuntimeError, FlussError) as error:  # what happened until then counts, and nothing was compared
                experiment.result.violations.append(Violation("the run ended early", str(error)[:500]))
            result = experiment.result
            if isinstance(kind, OurServers):
                # Official servers may end with their ZooKeeper sessions, and their high watermarks are not durable.
                result.violations += [Violation("a server ended", f"{name}:\n{log}") for name, log in cluster.failed]
                if result.regressions:
                    text = f"{result.regressions} times a reader was told a smaller one than before"
                    result.violations.append(Violation("a high watermark fell", text))
            return result
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def main() -> int:
    """The command; exit code 1 when something was violated."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0, help="how long there are faults")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--official", action="store_true", help="servers of Apache Fluss 0.9.1-incubating")
    parser.add_argument("--bug", help="plant a bug of chaos.planted_bugs in the servers")
    parser.add_argument("--moves", action="store_true", help="servers come and go, in the middle of it one is killed")
    parser.add_argument("--kind", action="append", default=[], help="only faults of this kind")
    parser.add_argument("--without", action="append", default=[], metavar="KIND", help="no faults of this kind")
    parser.add_argument("--output", type=Path, default=Path("chaos-output"))
    parser.add_argument("--publish", type=Path, metavar="DOCUMENT", help="put the results into docs/fault-report.md")
    parser.add_argument("--results", type=Path, metavar="DIRECTORY", help="no run: publish what an earlier one found")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="option of our servers")
    parsed = parser.parse_args()
    place = "moves" if parsed.moves else "official" if parsed.official else "ours"
    if parsed.results is not None:
        found = json.loads((parsed.results / "results.json").read_text())
    else:
        found = _new_results(parsed)
        print("\n" + write(parsed.output, found))
    if parsed.publish is not None:
        publish(parsed.publish, place, found)
    return 1 if found["violations"] else 0


def _new_results(parsed: argparse.Namespace) -> dict[str, Any]:
    """What a run finds; it is kept in the directory of the output, too."""
    plan = Plan(parsed.seed, parsed.minutes * 60, kinds=tuple(parsed.kind), without=tuple(parsed.without))
    kind: Kind
    if parsed.official:
        from chaos.official_servers import OfficialServers

        kind = OfficialServers()
        plan = replace(plan, settle_s=60.0, live_s=180.0)
    else:
        options = dict(setting.split("=", 1) for setting in parsed.set)
        kind = OurServers(MOVES_OPTIONS | options if parsed.moves else options, parsed.bug)
    if parsed.moves:
        plan = moves_plan(parsed.seed)
    parsed.output.mkdir(parents=True, exist_ok=True)
    result = asyncio.run(run(kind, plan, parsed.output, small_disk=not parsed.moves, moves=parsed.moves))
    found = summary(kind.name, plan, result)
    (parsed.output / "results.json").write_text(json.dumps(found, indent=1))
    return found


if __name__ == "__main__":
    sys.exit(main())
