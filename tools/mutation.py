"""Measures how many small faults in the code the tests notice, with a random sample of the faults that mutmut can make.

Each fault (a mutant: another operator, a changed constant, an argument left out) is tried with all fast tests that
call the changed function. Tests that fail kill it. One that survives shows what no test looks at, or changes nothing
that can be seen. The work is done in build/mutation, where report.txt is written, too.

Decorated functions, code outside of functions, log lines and hints are not mutated.

Usage: mutation.py [--package log|kv|replica|formats]... [--sample 200] [--seed 0] [--minutes 30]
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIRECTORY = ROOT / "build" / "mutation"
PACKAGES = ("log", "kv", "replica", "formats")
TESTS = (
    *(f"tests/unit/{package}" for package in (*PACKAGES, "tablet")),
    *(f"tests/property/{package}" for package in ("log", "kv", "formats")),
)
MARKERS = "not slow and not flink and not java"
_STOP_SECONDS = 30
_SPINNER = tuple("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
_SOURCES = Path("src") / "fluss_server"


@dataclass(frozen=True)
class Mutant:
    """One mutant that was tried, or was to be.

    Attributes:
        name: mutmut's.
        package: one of :data:`PACKAGES`.
        outcome: ``killed``, ``survived``, ``not reached`` by any test, ``timed out`` or ``not tried``.
    """

    name: str
    package: str
    outcome: str


def sample(names: Mapping[str, Sequence[str]], count: int, seed: int) -> dict[str, list[str]]:
    """Choose mutants at random, the same ones for the same seed.

    Args:
        names: all mutants, by package.
        count: how many altogether; each package gets the same share, as far as it has so many.
        seed: of the random numbers.
    """
    chosen: dict[str, list[str]] = {}
    for place, package in enumerate(sorted(names, key=lambda package: len(names[package]))):
        share = (count - sum(map(len, chosen.values()))) // (len(names) - place)
        every = sorted(names[package])
        chosen[package] = random.Random(f"{seed} {package}").sample(every, min(share, len(every)))
    return {package: chosen[package] for package in names}


def outcome(exit_code: int | None) -> str:
    """What the exit code of a mutant's tests says: pytest's, mutmut's own above 30, negative for signals."""
    if exit_code in (0, 5, 33):
        return "survived" if exit_code == 0 else "not reached"
    if exit_code in (24, -24, 36, 152, 255, -9):
        return "timed out"
    return "killed" if exit_code in (1, 3) or (exit_code is not None and exit_code < 0) else "not tried"


def interval(killed: int, tried: int) -> tuple[float, float]:
    """Wilson's 95 % interval for the share of all mutants that would be killed, 0 to 1."""
    if not tried:
        return 0.0, 1.0
    z, share = 1.96, killed / tried
    middle = share + z * z / (2 * tried)
    half = z * math.sqrt(share * (1 - share) / tried + z * z / (4 * tried * tried))
    scale = 1 + z * z / tried
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def score_table(mutants: Sequence[Mutant], totals: Mapping[str, int]) -> list[str]:
    """Lines of a Markdown table.

    Args:
        mutants: the sample.
        totals: how many mutants there are, by package.
    """
    lines = [
        "| package | mutants | tried | killed | survived | timed out | score | 95 % interval |",
        "|---|---|---|---|---|---|---|---|",
    ]
    groups = {package: [mutant for mutant in mutants if mutant.package == package] for package in totals}
    if len(groups) > 1:
        groups["together"] = list(mutants)
    for package, group in groups.items():
        counts = Counter(mutant.outcome for mutant in group)
        tried = len(group) - counts["not tried"]
        low, high = interval(counts["killed"], tried)
        cells = (
            package,
            totals.get(package, sum(totals.values())),
            tried,
            counts["killed"],
            counts["survived"] + counts["not reached"],
            counts["timed out"],
            f"{100 * counts['killed'] / tried:.0f} %" if tried else "-",
            f"{100 * low:.0f} to {100 * high:.0f} %" if tried else "-",
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


def changed_line(source: str, function: str, diff: str) -> int:
    """Number of the first changed line in a file, from 1.

    Args:
        source: the file.
        function: of a module or a class: ``name`` or ``Class.name``.
        diff: unified diff of the function alone.
    """
    owner, _, name = function.rpartition(".")
    for outer, node in _functions(ast.parse(source)):
        if (outer, node.name) == (owner, name):
            first, last = node.lineno, node.end_lineno or node.lineno
            break
    else:
        raise ValueError(f"there is no function {function}")
    removed = next(line[1:] for line in diff.splitlines() if line.startswith("-") and not line.startswith("---"))
    lines = source.splitlines()
    places = [number for number in range(first, last + 1) if lines[number - 1].strip() == removed.strip()]
    # The same line may be there twice: the diff says where it is in the function.
    header = next(line for line in diff.splitlines() if line.startswith("@@"))
    hunk = diff.splitlines()[diff.splitlines().index(header) + 1 :]
    expected = first - 1 + int(header.split()[1].lstrip("-").split(",")[0])
    expected += next(index for index, line in enumerate(hunk) if line.startswith("-"))
    return min(places, key=lambda number: abs(number - expected), default=first)


def _functions(module: ast.Module) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield "", node
        elif isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield node.name, inner


def settings(packages: Sequence[str]) -> str:
    """mutmut's settings, as TOML."""
    # A server process for forks, because RocksDB's threads do not survive a fork: no test may have run before it.
    return rf"""

[tool.mutmut]
source_paths = ["src"]
only_mutate = {[f"{_SOURCES}/{package}/*" for package in packages]}
do_not_mutate_patterns = ['logger\.\w+', 'hint=']
pytest_add_cli_args = ["-p", "no:cacheprovider"]
pytest_add_cli_args_test_selection = {["-m", MARKERS, *TESTS]}
process_isolation = "forkserver"
timeout_multiplier = 5.0
timeout_constant = 4.0
track_dependencies = false
use_git_change_detection = false
on_dependency_change = "ignore"
"""


# In property tests the first failing example kills: the search for a smaller one can take minutes. Random examples are
# the same in each run, and a slow machine fails no test.
_CONFTEST = """

from hypothesis import HealthCheck, Phase, settings

settings.register_profile(
    "mutation",
    phases=[Phase.explicit, Phase.generate],
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("mutation")
"""


def prepare(packages: Sequence[str]) -> Path:
    """Copy package, tests and settings into a new working directory."""
    workspace = DIRECTORY / "workspace"
    shutil.rmtree(DIRECTORY, ignore_errors=True)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "fluss-server" / "src" / "fluss_server", workspace / _SOURCES, ignore=ignored)
    shutil.copytree(ROOT / "tests", workspace / "tests", ignore=ignored)
    with (workspace / "tests" / "conftest.py").open("a", encoding="utf-8") as conftest:
        conftest.write(_CONFTEST)
    of_project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (workspace / "pyproject.toml").write_text(of_project + settings(packages), encoding="utf-8")
    return workspace


def make_mutants(packages: Sequence[str]) -> dict[str, list[str]]:
    """Write all mutants; mutmut uses them when it runs. Returns their names by package. In the working directory."""
    # mutmut reads its settings in the working directory when it is imported.
    from mutmut.__main__ import create_mutants
    from mutmut.utils.file_utils import copy_also_copy_files, copy_src_dir

    Path("mutants").mkdir()
    with Path("generation.log").open("w", encoding="utf-8") as log, contextlib.redirect_stdout(log):
        copy_src_dir()
        copy_also_copy_files()
        create_mutants(os.cpu_count() or 1)
    return {package: sorted(_exit_codes(Path("mutants") / _SOURCES / package)) for package in packages}


def _exit_codes(directory: Path) -> dict[str, int | None]:
    """What mutmut knows of the mutants of a directory: None for those that were not tried."""
    codes: dict[str, int | None] = {}
    for path in directory.rglob("*.py.meta"):
        codes.update(json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"])
    return codes


def run_mutmut(workspace: Path, names: Sequence[str], minutes: float) -> bool:
    """Try mutants; returns whether there was time for all. Exits when the tests fail without a mutation."""
    variables = {**os.environ, "PYTHONPATH": str(workspace / "mutants" / "src"), "PYTHONHASHSEED": "0"}
    command = [str(Path(sys.executable).with_name("mutmut")), "run", *names]
    log = DIRECTORY / "mutmut.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=workspace, env=variables, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            process.wait(minutes * 60)
            complete = True
        except subprocess.TimeoutExpired:
            complete = False
        finally:
            for number in (signal.SIGINT, signal.SIGKILL):
                try:
                    os.killpg(process.pid, number)
                    process.wait(_STOP_SECONDS)
                except (ProcessLookupError, subprocess.TimeoutExpired):
                    continue
    text = log.read_text(encoding="utf-8", errors="replace")
    if "Running mutation testing" not in text:
        steps = [line for line in text.replace("\r", "\n").splitlines() if not line.startswith(_SPINNER)]
        print("\n".join(steps[-40:]), file=sys.stderr)
        print("error: the tests do not pass without a mutation, or there was no time to try one; see", file=sys.stderr)
        print(f'    .venv/bin/python -m pytest -m "{MARKERS}" {" ".join(TESTS)}', file=sys.stderr)
        raise SystemExit(1)
    return complete


def read_outcomes(chosen: Mapping[str, Sequence[str]]) -> list[Mutant]:
    """The outcome of each chosen mutant; in the working directory."""
    codes = _exit_codes(Path("mutants"))
    return [Mutant(name, package, outcome(codes[name])) for package, names in chosen.items() for name in names]


def describe(mutant: Mutant) -> list[str]:
    """Place and diff of a mutant, as Markdown; in the working directory."""
    from mutmut.mutation.diff_apply import find_mutant, get_diff_for_mutant
    from mutmut.utils.format_utils import orig_function_and_class_names_from_key

    path = Path(find_mutant(mutant.name).path)
    diff = get_diff_for_mutant(mutant.name, path=path)
    function, owner = orig_function_and_class_names_from_key(mutant.name)
    line = changed_line(path.read_text(encoding="utf-8"), f"{owner}.{function}" if owner else function, diff)
    body = [text for text in diff.splitlines() if not text.startswith(("---", "+++", "@@"))]
    return [f"{path.relative_to(_SOURCES)}:{line} ({mutant.outcome})", "", "```diff", *body, "```", ""]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", action="append", choices=PACKAGES)
    parser.add_argument("--sample", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=30)
    options = parser.parse_args(arguments)
    packages = options.package or PACKAGES
    workspace = prepare(packages)
    os.chdir(workspace)
    every = make_mutants(packages)
    totals = {package: len(names) for package, names in every.items()}
    chosen = sample(every, options.sample, options.seed)
    names = [name for group in chosen.values() for name in group]
    print(f"    {len(names)} of {sum(totals.values())} mutants, seed {options.seed}", flush=True)
    complete = run_mutmut(workspace, names, options.minutes)
    mutants = read_outcomes(chosen)
    lines = score_table(mutants, totals)
    untried = sum(mutant.outcome == "not tried" for mutant in mutants)
    if untried:
        reason = "" if complete else f" in {options.minutes:g} minutes: those with the slowest tests"
        lines += ["", f"{untried} of {len(mutants)} mutants were not tried{reason}."]
    lines += ["", "Not killed:", ""]
    for mutant in mutants:
        if mutant.outcome not in ("killed", "not tried"):
            lines += describe(mutant)
    report = DIRECTORY / "report.txt"
    report.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    print(f"    written to {report.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
