"""The comparison with the official server: when a target is missed, and what the table says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[3] / "benchmarks"))

from comparison import Figures, Line, Target, report

THEIRS = Figures(rate=100_000, cpu=10.0, p50_ms=4.0, p99_ms=8.0)


@pytest.mark.parametrize(
    ("target", "ours", "missed"),
    [
        (Target("", rate=1.3, cpu=0.6), Figures(rate=130_000, cpu=6.0), []),
        (Target("", rate=1.3, cpu=0.6), Figures(rate=129_000, cpu=6.2), ["rate", "CPU"]),
        (Target("", p50=1.0, p99=0.5), Figures(p50_ms=4.0, p99_ms=4.1), ["p99"]),
        (Target("", p50=1.0, cpu=1.0), Figures(p50_ms=4.1, cpu=9.0), ["p50"]),
        (Target("", limit=1.0), Figures(value=1.1), [""]),
        (Target("", limit=1.0), Figures(value=0.9), []),
    ],
)
def test_a_target_is_missed_when_a_bound_is(target: Target, ours: Figures, missed: list[str]) -> None:
    assert target.missed(ours, THEIRS) == missed


def test_a_ratio_of_values_is_bounded() -> None:
    target = Target("", value=1 / 4)
    assert target.missed(Figures(value=100.0), Figures(value=400.0)) == []
    assert target.missed(Figures(value=101.0), Figures(value=400.0)) == [""]


def test_a_line_has_the_medians_of_its_runs() -> None:
    line = Line("work", "rows/s", None)
    line.add("ours", Figures(rate=1.0, cpu=5.0), Figures(rate=9.0, cpu=7.0), Figures(rate=2.0, cpu=6.0))
    assert line.of("ours") == Figures(rate=2.0, cpu=6.0)


def test_the_table_has_figures_ratios_and_verdicts() -> None:
    line = Line("upsert", "rows/s", Target("rate >= 1.3", rate=1.3))
    line.add("a", Figures(rate=100_000, cpu=10.0))
    line.add("b", Figures(rate=120_000, cpu=5.0))
    line.add("c", Figures(rate=2_500_000, cpu=4.0))
    idle = Line("memory idle", "MB", Target("<= 1/4", value=1 / 4))
    for side, value in {"a": 400.0, "b": 28.0, "c": 29.0}.items():
        idle.add(side, Figures(value=value))
    text = report("A title", [line, idle], official="a", ours="b", unsynced="c")
    assert text.startswith("### A title\n")
    assert (
        "| upsert | 100 k/s, 10.00 CPU s/M | 120 k/s, 5.00 CPU s/M | 2.50 M/s, 4.00 CPU s/M | 1.20 (25.00)"
        " | 0.50 (0.40) | rate >= 1.3 | **missed** rate |"
    ) in text
    assert "| memory idle (MB) | 400 | 28 | 29 | 0.070 (0.072) |  | <= 1/4 | met |" in text
    assert "1 of 2 targets met" in text
