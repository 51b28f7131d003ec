"""The demo from beginning to end on its first few thousand flights, and that it notices a wrong result."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.flink, pytest.mark.slow]

DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo"
FLIGHTS = 4_000
DEADLINE_S = 300


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source files, with the flights cut off after the first few thousand."""
    sys.path.insert(0, str(DEMO))
    from flights_demo import dataset

    directory = Path(tmp_path_factory.mktemp("source"))
    for table in dataset.KEYS:
        text = dataset.source_bytes(dataset.data_directory(), table)
        lines = text.splitlines(keepends=True)
        (directory / f"{table}.csv").write_bytes(b"".join(lines[: FLIGHTS + 1]) if table == "flights" else text)
    return directory


def run(program: list[str], source: Path, output: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *program, "--source", str(source), "--output", str(output)]
    environment = os.environ | {"PYTHONPATH": str(DEMO)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=DEADLINE_S, check=False)


def assert_server_is_gone(output: str) -> None:
    match = re.search(r"fluss local runs at (\S+):(\d+)", output)
    assert match is not None, output
    with socket.socket() as probe:
        assert probe.connect_ex((match[1], int(match[2]))) != 0


def test_every_result_is_equal(source: Path, tmp_path: Path) -> None:
    done = run(["-m", "flights_demo"], source, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    for what in ("flights (4,000 rows", "enriched flights (4,000 rows", "delays (", "delays by carrier"):
        assert f"equal: batch read of {what}" in done.stdout
    assert "equal: changelog replayed" in done.stdout
    assert "valid: every before image" in done.stdout
    assert (tmp_path / "delays.png").read_bytes().startswith(b"\x89PNG")
    assert_server_is_gone(done.stdout)


def test_a_wrong_result_is_reported_and_the_server_stopped(source: Path, tmp_path: Path) -> None:
    # One minute more than the truth in one of the sums.
    program = """
import sys
from flights_demo import __main__, expected
truth = expected.delays
def wrong(flights):
    answer = truth(flights)
    answer.loc[0, "arr_delay_sum"] += 1
    return answer
expected.delays = wrong
sys.exit(__main__.main())
"""
    done = run(["-c", program], source, tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "equal: batch read of enriched flights (4,000 rows" in done.stdout
    assert "DIFFERENT: batch read of delays (" in done.stdout
    assert "DIFFERENT: changelog replayed" in done.stdout
    assert "1 rows differ in arr_delay_sum, for example ('9E', 'EWR')" in done.stderr
    assert_server_is_gone(done.stdout)


def test_a_directory_of_somebody_else_is_left_alone(source: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "precious").touch()
    done = run(["-m", "flights_demo"], source, tmp_path)
    assert done.returncode == 2
    assert "is in use for something else" in done.stderr
    assert (tmp_path / "data" / "precious").exists()
