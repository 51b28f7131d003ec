"""Tortures the disk of real servers, round after round: see :mod:`torture.rounds`.

    python -m torture.run --rounds 20 --seed 7
    python -m torture.run --rounds 1 --first 13 --seed 7     repeats round 13
    python -m torture.run --bug "accept repeated batches"    a server with a bug: the rounds must fail

A round that fails ends the run, with what happened, its data directory, and the command that repeats it.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from fluss_server.errors import FlussError
from torture.planted_bugs import BUGS
from torture.rounds import Round, make_home


def run_rounds(
    parent: Path, seed: int, first: int, count: int, *, verbose: bool = False, bug: str | None = None
) -> Counter[str]:
    """Run rounds, perhaps with a bug of :mod:`torture.planted_bugs`; how many of each kind.

    Raises:
        AssertionError: a round fails.
    """
    kinds: Counter[str] = Counter()
    for number in range(first, first + count):
        home = make_home(parent)
        begun = time.monotonic()
        current = Round(home, seed, number, bug)
        try:
            asyncio.run(current.run())
        except (AssertionError, RuntimeError, FlussError, asyncio.TimeoutError) as error:
            raise AssertionError(
                f"round {number} ({current.kind}) fails: {error}\n"
                f"  it went: {'; '.join(current.story)}\n"
                f"  errors that clients got: {current.first}\n"
                f"  its files are in {home}\n"
                f"  repeat with: make torture SEED={seed} FIRST={number} ROUNDS=1"
            ) from error
        kinds[current.kind] += 1
        if verbose:
            took_s = time.monotonic() - begun
            print(f"{number:4} {took_s:5.1f} s  {current.kind}: {'; '.join(current.story)}")
            print("".join(f"{' ' * 14}{error:.200}\n" for error in current.first), end="", flush=True)
    return kinds


def main() -> int:
    """The command; exit code 1 when a round fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="number of the first round")
    parser.add_argument("--seed", type=int, default=None, help="default: a new one")
    parser.add_argument("--bug", choices=sorted(BUGS), help="plant a bug in the server; PYTHONPATH must have tests/")
    parsed = parser.parse_args()
    seed = time.time_ns() % 2**32 if parsed.seed is None else parsed.seed
    print(f"seed {seed}", flush=True)
    parent = Path(tempfile.mkdtemp(prefix="fluss-torture-"))
    try:
        kinds = run_rounds(parent, seed, parsed.first, parsed.rounds, verbose=True, bug=parsed.bug)
    except AssertionError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{parsed.rounds} rounds: {dict(kinds)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
