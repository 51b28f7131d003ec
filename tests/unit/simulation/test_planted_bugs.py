"""Planted bugs are called as what they replace; a bug that only raises TypeError would prove nothing."""

from __future__ import annotations

import inspect
from functools import partial
from typing import cast

import pytest

from simulation.planted_bugs import BUGS, found_by


@pytest.mark.parametrize("name", sorted(BUGS))
def test_a_bug_takes_what_the_original_takes(name: str) -> None:
    owner, attribute, replacement = cast("partial[object]", BUGS[name]).args
    original = inspect.getattr_static(owner, attribute)
    if isinstance(original, property):
        assert not callable(replacement)
        return
    wanted, found = inspect.signature(original), inspect.signature(replacement)
    assert [*found.parameters] == [*wanted.parameters]
    assert inspect.iscoroutinefunction(replacement) == inspect.iscoroutinefunction(original)


def test_only_checks_find_bugs() -> None:
    def fails(error: Exception) -> None:
        raise error

    name = next(iter(BUGS))
    assert found_by(name, lambda: None) is None
    assert found_by(name, lambda: fails(AssertionError("rows differ"))) == "AssertionError: rows differ"
    for error in (TypeError("takes 2 arguments"), TimeoutError()):
        with pytest.raises(type(error)):
            found_by(name, partial(fails, error))
