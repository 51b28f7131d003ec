"""The comparison must find every kind of difference, and nothing between equal tables."""

from typing import Any

import pytest

pd = pytest.importorskip("pandas")

from flights_demo.compare import differences  # noqa: E402


def table(**columns: list[Any]) -> Any:
    frame = pd.DataFrame(columns)
    return frame.astype({name: "Int64" for name in frame.columns if name in ("key", "number")})


EXPECTED = table(key=[1, 2, 3], number=[10, None, 30], text=["x", None, "z"], ratio=[0.5, None, 1.5])


def test_equal_tables_in_another_order() -> None:
    actual = EXPECTED.iloc[[2, 0, 1]][["text", "ratio", "number", "key"]]
    assert differences(actual, EXPECTED, ["key"]) == []


def test_integers_that_came_back_as_floats_because_of_gaps() -> None:
    actual = EXPECTED.assign(number=EXPECTED["number"].astype("float64"))
    assert differences(actual, EXPECTED, ["key"]) == []


def test_a_fraction_is_not_cut_off() -> None:
    actual = EXPECTED.assign(number=[10.5, None, 30.0])
    (found,) = differences(actual, EXPECTED, ["key"])
    assert found.startswith("column number does not hold values of type Int64")


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("number", [10, 0, 30]),
        ("number", [None, None, 30]),
        ("text", ["x", "", "z"]),
        ("text", [None, None, "z"]),
        ("ratio", [0.5, 0.0, 1.5]),
        ("ratio", [0.5, None, 1.5000000000000002]),
    ],
)
def test_one_cell(column: str, values: list[Any]) -> None:
    actual = EXPECTED.assign(**{column: pd.array(values, dtype="Int64") if column == "number" else values})
    (found,) = differences(actual, EXPECTED, ["key"])
    assert found.startswith(f"1 rows differ in {column}, for example (")


def test_missing_surplus_and_repeated_rows() -> None:
    surplus = table(key=[4], number=[1], text=["n"], ratio=[0.0])
    actual = pd.concat([EXPECTED.iloc[:2], EXPECTED.iloc[:1], surplus], ignore_index=True)
    assert differences(actual, EXPECTED, ["key"]) == [
        "1 rows repeat a key: (1)",
        "1 rows are missing: (3)",
        "1 rows are too many: (4)",
    ]


def test_an_empty_table_is_not_equal() -> None:
    assert differences(EXPECTED.iloc[:0], EXPECTED, ["key"]) == ["3 rows are missing: (1), (2), (3)"]


def test_other_columns() -> None:
    (found,) = differences(EXPECTED.rename(columns={"text": "words"}), EXPECTED, ["key"])
    assert "words" in found


def test_times_are_compared_to_the_millisecond() -> None:
    expected = pd.DataFrame({"key": pd.array([1], dtype="Int64"), "at": pd.to_datetime(["2013-01-01 05:00:00.001"])})
    expected["at"] = expected["at"].astype("datetime64[ms]")
    assert differences(expected.assign(at=["2013-01-01 05:00:00.001"]), expected, ["key"]) == []
    assert len(differences(expected.assign(at=["2013-01-01 05:00:00.002"]), expected, ["key"])) == 1
