from __future__ import annotations

import pytest

from fluss_server.cli.csv_records import check_header, join_record, split_record


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("a,b", ["a", "b"]),
        ("a,,", ["a", None, None]),
        ('a,"",', ["a", "", None]),
        ('"x,""y""\nz",1', ['x,"y"\nz', "1"]),
        ("", [None]),
        ('5" disk,a"b', ['5" disk', 'a"b']),
    ],
)
def test_an_empty_field_is_null_and_quotes_make_it_text(text: str, fields: list[str | None]) -> None:
    assert split_record(text, ",") == fields


def test_a_quote_that_is_open_goes_on() -> None:
    assert split_record('a,"b', ",") is None
    assert split_record('a,"b""', ",") is None


def test_text_behind_a_closing_quote_is_refused() -> None:
    with pytest.raises(ValueError, match="field 2: 'c' after the closing quote"):
        split_record('a,"b"c', ",")


def test_records_are_written_with_the_quotes_they_need() -> None:
    assert join_record(["a", None, "", 'say "x"', "1,2", "l\n"]) == 'a,,"","say ""x""","1,2","l\n"'
    assert join_record(["1,2", "a\tb"], "\t") == '1,2\t"a\tb"'


def test_headers() -> None:
    assert check_header(["a", "b"]) == ["a", "b"]
    with pytest.raises(ValueError, match="column 2 of the header has no name"):
        check_header(["a", None])
    with pytest.raises(ValueError, match="names column 'a' twice"):
        check_header(["a", "a"])
