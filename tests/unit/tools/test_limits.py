"""A test that hangs fails with the stack of what it waits for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from conftest import LIMITS_S

ROOT = Path(__file__).resolve().parents[3]
HANG = """
import threading
import pytest

def test_that_waits():
    threading.Event().wait()

@pytest.mark.slow
def test_that_is_slow(request):
    assert request.node.get_closest_marker("timeout").args == (600,)
"""


def test_limits_end_before_the_process_does(pytestconfig: pytest.Config) -> None:
    most = float(pytestconfig.getini("faulthandler_timeout"))
    assert 0 < float(pytestconfig.getini("timeout")) < min(LIMITS_S.values()) <= max(LIMITS_S.values()) < most
    assert pytestconfig.getini("faulthandler_exit_on_timeout")


@pytest.mark.slow
def test_a_hang_fails_and_the_next_test_runs(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (tmp_path / "test_hang.py").write_text(HANG)
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "-o", "timeout=5"]
    command += ["-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed, 1 passed" in done.stdout
    assert "Timeout (>5.0s) from pytest-timeout" in done.stdout
    assert "threading.Event().wait()" in done.stdout
