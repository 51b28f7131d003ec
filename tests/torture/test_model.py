"""Each check of the model finds what it is there for."""

from __future__ import annotations

import pytest

from torture.model import KeyedModel, LogModel, NamesModel, Row, text_of

FIRST = 1_000_000


def row(number: int) -> Row:
    return (number, text_of(number))


@pytest.fixture
def log() -> LogModel:
    """One writer: rows 0 and 1 and 2 acknowledged, a batch of 3 and 4 without a response."""
    model = LogModel()
    for count in (2, 1, 2):
        model.new_ids(1, count)
    model.acknowledge(1, 2)
    return model


@pytest.mark.parametrize("count", [3, 5])
def test_acknowledged_rows_with_and_without_the_rest(log: LogModel, count: int) -> None:
    assert log.check([row(FIRST + number) for number in range(count)], complete=True) == []
    assert log.acknowledged_rows == 3


@pytest.mark.parametrize(
    ("numbers", "problem"),
    [
        ([0, 1], "1 acknowledged rows are missing"),
        ([1, 2], "1 acknowledged rows are missing"),
        ([0, 1, 2, 2], "there twice"),
        ([0, 2, 1], "order is wrong"),
        ([0, 1, 2, 3], "a batch is there in part"),
        ([0, 1, 2, 5], "nobody wrote"),
        ([0, 1, 2, FIRST], "nobody wrote"),
    ],
)
def test_wrong_rows(log: LogModel, numbers: list[int], problem: str) -> None:
    (found,) = log.check([row(FIRST + number) for number in numbers], complete=True)
    assert problem in found


def test_wrong_data(log: LogModel) -> None:
    rows = [row(FIRST), (FIRST + 1, "x"), row(FIRST + 2)]
    (found,) = log.check(rows, complete=True)
    assert "row 1000001 has wrong data" in found


def test_reported_losses_leave_the_first_batches(log: LogModel) -> None:
    assert log.check([row(FIRST), row(FIRST + 1)], complete=False) == []
    assert log.check([], complete=False) == []
    assert log.check([row(FIRST + 2)], complete=False) != []


@pytest.mark.parametrize(("sums", "value"), [(False, 5), (True, 7)])
def test_keyed_rows(sums: bool, value: int) -> None:
    model = KeyedModel(sums=sums)
    model.send(0, [(1, (1, 2)), (2, (2, 2))])
    model.send(0, [(1, (1, 5))])
    model.send(0, [(2, None)])
    model.acknowledge(0, 2)
    right = {1: (1, value), 2: (2, 2)}
    assert model.keys() == [1, 2]
    assert model.check(right, complete=True) == []
    assert model.check({1: (1, value)}, complete=True) == []
    assert "1 keys differ, for example [1]" in model.check({1: (1, 2), 2: (2, 2)}, complete=True)[0]
    assert "1 keys differ, for example [1]" in model.check({2: (2, 2)}, complete=True)[0]
    assert "nobody wrote: [3]" in model.check({**right, 3: (3, 3)}, complete=True)[0]
    assert model.check({1: (1, 2), 2: (2, 2)}, complete=False) == []
    assert model.check({}, complete=False) == []
    assert model.check({2: (2, 2)}, complete=False) != []


def test_names() -> None:
    model = NamesModel()
    for name in ("kept", "dropped", "begun", "ending"):
        model.begin(name, present=True)
        if name != "begun":
            model.acknowledge(name)
    for name in ("dropped", "ending"):
        model.begin(name, present=False)
    model.acknowledge("dropped")
    assert [model.is_present(name) for name in ("kept", "dropped", "begun", "ending")] == [True, False, False, False]
    assert model.check(["kept"]) == []
    assert model.check(["kept", "begun", "ending"]) == []
    assert model.check([]) == ["kept is missing"]
    assert model.check(["kept", "dropped"]) == ["dropped is there, although it was dropped"]
    assert model.check(["kept", "unknown"]) == ["unknown is there, although it was dropped"]
