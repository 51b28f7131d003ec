"""Every scenario finds nothing wrong and runs the same way twice; planted bugs are found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from simulation.results import PlantedBug, Record, Result, Totals, markdown, planted_markdown
from simulation.scenario import command_of
from simulation.scenarios import SCENARIOS, Ran, Scenario
from simulation.simulate import run_twice

TESTS = Path(__file__).resolve().parents[1]


def simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, as ``make simulate`` runs it: a run silences all logging."""
    return subprocess.run(
        [sys.executable, "-m", "simulation.simulate", "--jobs", "1", *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join((str(TESTS), os.environ.get("PYTHONPATH", "")))},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def succeeds(*arguments: str) -> str:
    """What it prints when no seed fails and each runs the same way twice."""
    ended = simulate(*arguments)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "failed seeds: none" in ended.stdout
    return ended.stdout


def test_a_cluster_of_processes(tmp_path: Path) -> None:
    record, document = tmp_path / "seeds", tmp_path / "results.md"
    document.write_text("<!-- results: simulation -->\n<!-- end of results -->\n")
    arguments = ("--first", "2", "--count", "1", "--seconds", "4", "--record", str(record), "--publish", str(document))
    printed = succeeds(*arguments)
    assert "1 seeds, each twice" in printed
    assert "acknowledged rows" in printed
    assert "0 seeds, each twice" in succeeds(*arguments), "it has a result already"
    assert "1 seeds from 2 to 2, each twice" in document.read_text()


def test_replication_with_faults() -> None:
    printed = succeeds("--scenario", "replication", "--first", "1", "--count", "2", "--seconds", "4")
    assert "2 seeds, each twice" in printed
    assert "acknowledged rows" in printed


def test_a_fourth_server_comes_and_goes_while_servers_crash() -> None:
    """Its buckets move there and away again, and no bucket keeps old and new replicas."""
    assert "moved replicas" in succeeds("--scenario", "rebalance", "--first", "1", "--count", "1", "--seconds", "4")


def test_one_server_that_crashes() -> None:
    printed = succeeds("--scenario", "server", "--first", "1", "--count", "1")
    assert "2000 operations" in printed
    assert "faults: 6 power, 2 kill" in printed


def test_servers_agree_after_lost_repeated_and_late_requests() -> None:
    printed = succeeds("--scenario", "control-requests", "--first", "3", "--count", "3")
    for event in ("lost", "late", "twice", "no response", "repeated without effect", "kill coordinator", "kill tablet"):
        assert f" {event}" in printed
    assert "late: INVALID_UPDATE_VERSION_EXCEPTION" in printed, "behind a newer one"
    assert "late: INVALID_COORDINATOR_EXCEPTION" in printed, "of a coordinator that is gone"


@pytest.mark.parametrize("scenario", ["cluster", "replication"])
def test_a_planted_bug_is_found(scenario: str) -> None:
    bug = "acknowledge before replication"
    ended = simulate("--scenario", scenario, "--planted", "1", "--seconds", "4", "--bug", bug)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"{bug}: 1 of 1 seeds" in ended.stdout


def test_what_is_wrong_with_a_seed_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    traces = iter(("a", "b"))

    def fails(seed: int, seconds: float) -> Ran:
        raise AssertionError("rows are lost")

    monkeypatch.setitem(SCENARIOS, "fails", Scenario(fails, 1.0))
    monkeypatch.setitem(SCENARIOS, "differs", Scenario(lambda seed, seconds: Ran(next(traces), 1.0, {}, {}), 1.0))
    assert run_twice(1, "fails", 1.0).problem == "AssertionError: rows are lost"
    assert run_twice(1, "differs", 1.0).problem == "it ran in two ways: a and b"
    assert command_of("cluster", 7, 8.0) == "make simulate SCENARIO=cluster SEED=7 DURATION=8"


def test_the_newest_result_of_a_seed_counts(tmp_path: Path) -> None:
    record = Record(tmp_path / "seeds")
    record.add(Result(7, "AssertionError: rows are lost"))
    record.add(Result(8, None, trace="a", seconds=1800.0, faults={"killed": 2}, counts={"append ok": 1_000}))
    record.add(Result(7, None, trace="b", seconds=1800.0, faults={"killed": 1}))
    totals = Totals()
    for result in record.read():
        totals.add(result)
    text = markdown(totals, date="2026-12-01", commit="abc", run="5.0 seeds per minute")
    assert "2 seeds from 7 to 8" in text
    assert "1.0 simulated hours" in text
    assert "0 violations" in text
    assert "| append | 1,000 | 0 | 0 |" in text
    assert "| killed | 3 |" in text
    totals.add(Result(9, "AssertionError: rows are lost"))
    assert "* seed 9: AssertionError: rows are lost" in markdown(totals, date="", commit="", run="")


def test_planted_bugs_are_reported() -> None:
    bugs = [PlantedBug("skip truncation", {3: "AssertionError: replicas differ"}, 10), PlantedBug("harmless", {}, 10)]
    text = planted_markdown(bugs, date="2026-12-01", commit="abc")
    assert "| skip truncation | 1 of 10 seeds | seed 3: replicas differ |" in text
    assert "| harmless | 0 of 10 seeds | not found |" in text
