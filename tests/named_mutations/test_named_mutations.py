"""The faults of ``named.py``, each made in a copy of the package: the tests that are named there must fail."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import cache_from_source
from pathlib import Path

import pytest

import fluss_server
from named_mutations.named import NAMED
from scratch_support import scratch_directory

pytestmark = pytest.mark.slow

TESTS = Path(__file__).resolve().parents[1]
PACKAGE = Path(fluss_server.__file__).parent
TIMEOUT_S = 300


@pytest.fixture(scope="module")
def package() -> Iterator[Path]:
    """A copy of the package with which every named test passes."""
    directory = scratch_directory()
    copy = directory / "fluss_server"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    tests = sorted({test for mutation in NAMED.values() for test in mutation.tests})
    result = run_tests(directory, tests)
    assert result.returncode == 0, f"without a mutation:\n{result.stdout[-5000:]}"
    yield copy
    shutil.rmtree(directory, ignore_errors=True)


def run_tests(directory: Path, tests: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run tests with the package in ``directory``."""
    options = ["-q", "-rf", "--tb=short", "-p", "no:cacheprovider"]
    variables = {**os.environ, "PYTHONPATH": str(directory)}
    command = [sys.executable, "-m", "pytest", *options, *tests]
    return subprocess.run(
        command, cwd=TESTS.parent, env=variables, text=True, capture_output=True, check=False, timeout=TIMEOUT_S
    )


def write(path: Path, source: str) -> None:
    """Replace a module, and forget its bytecode: a mutation may keep the file's size and second of change."""
    path.write_text(source, encoding="utf-8")
    Path(cache_from_source(str(path))).unlink(missing_ok=True)


@pytest.mark.parametrize("name", NAMED)
def test_a_named_mutation_is_noticed(name: str, package: Path) -> None:
    mutation = NAMED[name]
    path = package / mutation.file
    source = path.read_text(encoding="utf-8")
    assert source.count(mutation.before) == 1, f"{mutation.file} has changed: adapt {name} in named.py"
    write(path, source.replace(mutation.before, mutation.after))
    try:
        result = run_tests(package.parent, mutation.tests)
    finally:
        write(path, source)
    assert result.returncode == 1, f"{mutation.why}, and the tests say:\n{result.stdout[-5000:]}{result.stderr[-2000:]}"
    failed = set(re.findall(r"^FAILED ([^\[\s]+)", result.stdout, re.MULTILINE))
    assert failed == set(mutation.tests)
