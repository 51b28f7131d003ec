from __future__ import annotations

import json

import pytest

from fluss_server.cli.output import json_line, note, print_fields, print_rows, printable
from fluss_server.cli.output_format import OutputFormat

EVIL = "a\x1b]0;title\x07\nb\x9bc\u202ed"


def test_control_characters_never_reach_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(("x", "y\x1b"), [(EVIL, 1)], OutputFormat.TABLE)
    print_rows(("x", "y\x1b"), [(EVIL, 1)], OutputFormat.JSON)
    print_fields({"comment": EVIL, "lines": ["one", "two\x1b"]}, OutputFormat.TABLE)
    note(EVIL)
    printed = capsys.readouterr()
    for text in (printed.out, printed.err):
        assert not set("\x1b\x07\x9b\u202e") & set(text)
    assert "a\\x1b]0;title\\x07\\nb\\x9bc\\u202ed" in printed.err
    header, row, document, *_ = printed.out.splitlines()
    assert header.endswith("Y\\X1B")
    assert row.startswith("a\\x1b]0;title\\x07\\nb")
    assert json.loads(document) == {"x": EVIL, "y\x1b": 1}


def test_ordinary_text_stays_as_it_is() -> None:
    assert printable("Grüße, 世界 - 'x' \\n") == "Grüße, 世界 - 'x' \\n"
    assert json_line({"ü": "é"}) == '{"ü": "é"}'


def test_csv_tells_null_from_empty_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(("a", "b"), [(None, ""), (1.5, [1, None]), (True, "x,y")], OutputFormat.CSV)
    assert capsys.readouterr().out == 'a,b\n,""\n1.5,"[1, null]"\ntrue,"x,y"\n'


def test_csv_of_no_rows_has_its_header(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(("a", "b"), [], OutputFormat.CSV)
    assert capsys.readouterr().out == "a,b\n"
