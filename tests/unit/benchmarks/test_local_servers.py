"""The comparison of one and two tablet servers: medians, and what it says about the limit."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[3] / "benchmarks"))

from local_servers import Run, kv_batches, median_of, verdict


def test_each_figure_has_its_own_median() -> None:
    runs = [Run(1.0, 9.0, 0.1, 0.5), Run(3.0, 7.0, 0.3, 0.7), Run(2.0, 8.0, 0.2, 0.9)]
    assert median_of(runs) == Run(2.0, 8.0, 0.2, 0.7)


def test_the_cores_are_the_limit() -> None:
    text = verdict("upsert", Run(200_000, 4.0, 0.4, 0.5), Run(300_000, 4.5, 0.5, 0.9), 2)
    assert text.startswith("upsert: two tablet servers take 1.50 times the rows of one.")
    assert "5.00 CPU s per million rows, so 2 cores allow 400,000 rows/s at most, 2.00 times" in text


def test_batches_are_of_every_bucket() -> None:
    batches = kv_batches(20_000)
    assert [len(each) for each in batches] == [2, 2]
