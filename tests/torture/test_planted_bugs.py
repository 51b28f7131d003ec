"""Rounds with a bug in the server: the checks must find it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from torture.planted_bugs import BUGS
from torture.rounds import KINDS
from torture.run import run_rounds

FINDS = {
    "accept repeated batches": r"rows are there twice|keys differ",
}


@pytest.mark.crash
@pytest.mark.slow
@pytest.mark.parametrize("bug", BUGS)
def test_the_checks_find(bug: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError) as found:
        run_rounds(tmp_path, 1, KINDS.index("kill"), 1, bug=bug)
    assert re.search(FINDS[bug], str(found.value)), found.value
