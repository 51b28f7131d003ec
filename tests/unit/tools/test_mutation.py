"""The mutation measurement: which mutants are chosen, and what is said about them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tools"))

import mutation
from mutation import Mutant

NAMES = {"big": [f"big{number}" for number in range(100)], "small": ["a", "b", "c"]}


def test_a_sample_is_spread_and_repeatable() -> None:
    chosen = mutation.sample(NAMES, 43, seed=1)
    assert list(chosen) == ["big", "small"]
    assert (len(set(chosen["big"])), sorted(chosen["small"])) == (40, ["a", "b", "c"])
    assert set(chosen["big"]) <= set(NAMES["big"])
    assert mutation.sample({package: names[::-1] for package, names in NAMES.items()}, 43, seed=1) == chosen
    assert mutation.sample(NAMES, 43, seed=2) != chosen
    assert {package: len(names) for package, names in mutation.sample(NAMES, 5, seed=1).items()} == {
        "big": 3,
        "small": 2,
    }


@pytest.mark.parametrize(
    ("exit_code", "expected"),
    [
        (0, "survived"),
        (1, "killed"),
        (-11, "killed"),
        (33, "not reached"),
        (-24, "timed out"),
        (-9, "timed out"),
        (2, "not tried"),
        (None, "not tried"),
    ],
)
def test_outcomes(exit_code: int | None, expected: str) -> None:
    assert mutation.outcome(exit_code) == expected


def test_only_failed_tests_raise_the_score() -> None:
    outcomes = ["killed"] * 6 + ["survived", "not reached", "timed out", "timed out", "not tried"]
    mutants = [Mutant(str(number), "log", outcome) for number, outcome in enumerate(outcomes)]
    *_, line = mutation.score_table(mutants, {"log": 500})
    assert line == "| log | 500 | 10 | 6 | 2 | 2 | 60 % | 31 to 83 % |"
    *_, together = mutation.score_table([*mutants, Mutant("x", "kv", "killed")], {"log": 500, "kv": 20})
    assert together.startswith("| together | 520 | 11 | 7 | 2 | 2 | 64 % |")
    *_, nothing = mutation.score_table([], {"log": 500})
    assert nothing == "| log | 500 | 0 | 0 | 0 | 0 | - | - |"


def test_an_interval_gets_narrower_with_the_sample() -> None:
    low, high = mutation.interval(50, 50)
    assert (round(low, 3), high) == (0.929, 1.0)
    low, high = mutation.interval(500, 1000)
    assert (round(low, 3), round(high, 3)) == (0.469, 0.531)
    assert mutation.interval(0, 0) == (0.0, 1.0)


SOURCE = """\
def f(a):
    return a + 1


class C:
    @staticmethod
    async def f(a):
        x = a + 1
        y = 0
        z = 0
        v = 0
        u = 0
        x = a + 1
        return x
"""


def test_the_line_of_a_change() -> None:
    first = "--- a\n+++ a\n@@ -1,2 +1,2 @@\n def f(a):\n-    return a + 1\n+    return a - 1"
    assert mutation.changed_line(SOURCE, "f", first) == 2
    second = "--- a\n+++ a\n@@ -6,4 +6,4 @@\n     v = 0\n     u = 0\n-        x = a + 1\n+        x = a - 1\n return x"
    assert mutation.changed_line(SOURCE, "C.f", second) == 13
    with pytest.raises(ValueError, match=r"no function C\.g"):
        mutation.changed_line(SOURCE, "C.g", second)
