"""This version of the server beside an earlier one: the works of ``compare.py`` on both in turn, run by run.

The earlier one is another checkout of the repository; it runs in the present environment. Figures are medians. A line
is *worse* when its rate, median latency or CPU is worse by more than 5 %: look at such a line again with more runs
before you believe it, because the two differ by a few per cent when they are the same, too.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from compare import FULL, WORKS, NewCluster, OurCluster, run
from comparison import Figures, Line, ratio

BEFORE, NOW = "before", "now"
_TOLERANCE = 0.05


class EarlierCluster(OurCluster):
    """A server of another checkout."""

    def __init__(self, checkout: Path) -> None:
        super().__init__()
        self._source = checkout / "fluss-server" / "src"

    def _command(self) -> list[str]:
        return ["env", f"PYTHONPATH={self._source}", *super()._command()]


def worse(before: Figures, now: Figures) -> list[str]:
    """Names of the figures that are worse by more than 5 %."""
    pairs = (
        ("rate", before.rate if before.p50_ms is None else None, now.rate, -1),
        ("p50", before.p50_ms, now.p50_ms, 1),
        ("CPU", before.cpu, now.cpu, 1),
        ("", before.value, now.value, 1),
    )
    return [
        name
        for name, old, new, direction in pairs
        if old and new is not None and direction * (new / old - 1) > _TOLERANCE
    ]


def report(lines: Sequence[Line]) -> str:
    """The Markdown table of both, with their ratios."""
    out = ["| work | before | now | rate, p50 or value, now : before | CPU, now : before | |", "|" + "---|" * 6]
    for line in lines:
        before, now = line.of(BEFORE), line.of(NOW)
        main = (before.value, now.value) if before.rate is None else (before.rate, now.rate)
        if before.p50_ms is not None:
            main = (before.p50_ms, now.p50_ms)
        found = worse(before, now)
        verdict = f"**worse** {', '.join(found)}".rstrip() if found else ""
        cells = [line.name, str(before), str(now), ratio(main[1], main[0]), ratio(now.cpu, before.cpu), verdict]
        out.append("| " + " | ".join(cells) + " |")
    return "\n".join(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, help="the work tree of the earlier version")
    parser.add_argument("--runs", type=int, default=FULL.runs)
    parser.add_argument("--only", action="append", default=[], choices=WORKS)
    arguments = parser.parse_args()
    sides: dict[str, NewCluster] = {BEFORE: lambda: EarlierCluster(arguments.checkout.resolve()), NOW: OurCluster}
    lines, complete = asyncio.run(run(sides, replace(FULL, runs=arguments.runs), set(arguments.only)))
    print("\n" + report(lines))
    sys.stdout.flush()
    os._exit(0 if complete else 1)  # pyfluss may abort at the end of the interpreter


if __name__ == "__main__":
    main()
