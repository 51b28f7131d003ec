"""FLUSS_EXAMPLES chooses how many examples every property test tries."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]


def test_no_property_test_has_a_number_of_its_own() -> None:
    fixed = [
        f"{path.relative_to(TESTS)}: {found}"
        for path in sorted(TESTS.rglob("*.py"))
        for found in re.findall(r"max_examples=\d+", path.read_text())
    ]
    assert not fixed, "use example_support.examples(), which follows FLUSS_EXAMPLES"
