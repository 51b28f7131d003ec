"""``--workers``: every test runs once, and what happened to it is told as without workers."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.slow
FILE = """
import os, sys, time, warnings
from pathlib import Path
import pytest

HERE = Path(__file__).parent

@pytest.fixture(scope="module")
def shared():
    (HERE / f"begun-{Path(__file__).stem}-{os.getpid()}").touch()
    yield
    (HERE / f"ended-{Path(__file__).stem}-{os.getpid()}").touch()

@pytest.mark.parametrize("number", range(20))
def test_passes(number, shared, tmp_path):
    assert tmp_path.parent.name.startswith("pytest-")
    (HERE / f"ran-{Path(__file__).stem}-{number}-{os.getpid()}").touch()
"""
OTHERS = """
import os, warnings
import pytest

def test_fails():
    print("printed here")
    value = [1, 2]
    assert value == [1, 3]

def test_fails_after_it():
    assert "printed" == "nothing"

def test_warns():
    warnings.warn("mind this")

def test_is_left_out():
    pytest.skip("of no use")

@pytest.mark.xfail(strict=True)
def test_is_known_to_fail():
    raise ValueError

@pytest.fixture
def broken():
    raise OSError("no fixture")

def test_has_no_fixture(broken):
    pass

def test_ends_its_process():
    os._exit(5)

@pytest.mark.parametrize("number", range(10))
def test_comes_afterwards(number):
    pass

@pytest.mark.timeout(1)
def test_hangs():
    import threading
    threading.Event().wait()
"""


def run(directory: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and output of pytest in a directory with the configuration of this project."""
    (directory / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "-p", "no:cacheprovider"]
    command += ["--rootdir", str(directory), str(directory), *arguments]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=250, check=False)
    return done.returncode, done.stdout + done.stderr


def ran(directory: Path, what: str) -> list[list[str]]:
    return [path.name.split("-") for path in directory.glob(f"{what}-*")]


def test_tests_of_three_files_in_two_processes(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / f"test_{name}.py").write_text(FILE)
    code, output = run(tmp_path, "--workers=2")
    assert (code, "60 passed" in output) == (0, True), output
    assert len(ran(tmp_path, "ran")) == 60, "each test once"
    assert len({pid for *_, pid in ran(tmp_path, "ran")}) == 2
    assert {tuple(rest) for _, *rest in ran(tmp_path, "begun")} == {tuple(rest) for _, *rest in ran(tmp_path, "ended")}


def test_a_file_stays_in_one_process(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / f"test_{name}.py").write_text(FILE)
    code, output = run(tmp_path, "--workers=2", "--whole-files")
    assert (code, "60 passed" in output) == (0, True), output
    assert len(ran(tmp_path, "begun")) == len(ran(tmp_path, "ended")) == 3
    assert len({pid for *_, pid in ran(tmp_path, "ran")}) == 2


def test_whatever_may_happen_to_a_test_is_told(tmp_path: Path) -> None:
    (tmp_path / "test_others.py").write_text(OTHERS)
    code, output = run(tmp_path, "--workers=2", "-rsx")
    assert code == 1
    assert "4 failed, 11 passed, 1 skipped, 1 xfailed, 1 warning, 1 error" in output, output
    for text in (
        "printed here",
        "At index 1 diff: 2 != 3",
        "UserWarning: mind this",
        "of no use",
        "OSError: no fixture",
        "the process that ran it died with exit code 5",
        "Timeout (>1.0s) from pytest-timeout",
        "threading.Event().wait()",
    ):
        assert text in output
    assert len(re.findall("^_+ test_fails _+$", output, re.M)) == 1


def test_the_first_failure_ends_the_run(tmp_path: Path) -> None:
    (tmp_path / "test_first.py").write_text(OTHERS)
    (tmp_path / "test_second.py").write_text(FILE)
    code, output = run(tmp_path, "--workers=1", "-x")
    assert code == 1
    assert "stopping after 1 failures" in output, output
    assert not ran(tmp_path, "ran")
