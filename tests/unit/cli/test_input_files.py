from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fluss_server.cli.failures import InputError, UsageError
from fluss_server.cli.input_batches import InputBatch
from fluss_server.cli.input_files import InputFile, format_of, json_lines
from fluss_server.model.schema import Schema

SCHEMA = Schema.from_json(
    {
        "version": 1,
        "columns": [
            {"name": "n", "data_type": {"type": "INTEGER"}},
            {"name": "s", "data_type": {"type": "STRING"}},
            {"name": "d", "data_type": {"type": "DECIMAL", "precision": 20, "scale": 2}},
        ],
    }
)


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., list[InputBatch]]:
    def read_file(content: bytes, name: str = "rows.csv", **options: Any) -> list[InputBatch]:
        path = tmp_path / name
        path.write_bytes(content)
        delimiter = options.pop("delimiter", None)
        file = InputFile(str(path), format_of(str(path)), SCHEMA, delimiter)
        return list(file.batches(**{"stop_at_bad": False, **options}))

    return read_file


def rows(batches: list[InputBatch]) -> list[dict[str, Any]]:
    return [row for batch in batches for row in batch.rows.to_pylist()]


CSV = b'n,s\n1,a\n2,""\n3,\n'
EXPECTED = [("1", "a"), ("2", ""), ("3", None)]


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("rows.csv", CSV, {}),
        ("rows.csv", b"\xef\xbb\xbf" + CSV, {}),
        ("rows.csv", CSV.replace(b"\n", b"\r\n"), {}),
        ("rows.csv", CSV[:-1], {}),
        ("rows.csv", CSV.replace(b"\n", b"\n\n"), {}),
        ("rows.csv.gz", gzip.compress(CSV, mtime=0), {}),
        ("rows.csv", gzip.compress(CSV, mtime=0), {}),
        ("rows.tsv", CSV.replace(b",", b"\t"), {}),
        ("rows.csv", CSV.replace(b",", b";"), {"delimiter": ";"}),
        ("rows.jsonl", b'\xef\xbb\xbf{"n": 1, "s": "a"}\n\n{"n": "2", "s": ""}\r\n{"n": 3}', {}),
        ("rows.ndjson.gz", gzip.compress(b'{"n": 1, "s": "a"}\n{"n": "2", "s": ""}\n{"n": 3}\n', mtime=0), {}),
    ],
)
def test_the_same_rows_in_many_files(
    read: Callable[..., list[InputBatch]], name: str, content: bytes, options: dict[str, Any]
) -> None:
    assert [(str(row["n"]), row["s"]) for row in rows(read(content, name, **options))] == EXPECTED


def test_a_field_may_have_lines_and_lines_are_counted(read: Callable[..., list[InputBatch]]) -> None:
    (batch,) = read(b'n,s\n1,"a\n""b"",\n"\nx,y\n2,c\n')
    assert batch.rows.to_pylist() == [{"n": 1, "s": 'a\n"b",\n', "d": None}, {"n": 2, "s": "c", "d": None}]
    assert batch.numbers == [1, 3]
    (bad,) = batch.bad
    assert (bad.number, bad.text) == (2, b"x,y")
    assert bad.reason == "line 5: column 'n': 'x' is not a INT"


def test_decimals_stay_exact_in_every_format(read: Callable[..., list[InputBatch]], tmp_path: Path) -> None:
    number = "123456789012345678.91"
    table = pa.table({"d": pa.array([number]).cast(pa.decimal128(30, 2))})
    pq.write_table(table, tmp_path / "d.parquet")
    for content, name in (
        (f'{{"d": {number}}}'.encode(), "d.jsonl"),
        (f'{{"d": "{number}"}}'.encode(), "d.jsonl"),
        (f"d\n{number}\n".encode(), "d.csv"),
        ((tmp_path / "d.parquet").read_bytes(), "e.parquet"),
    ):
        assert str(rows(read(content, name))[0]["d"]) == number, name


def test_reading_ends_behind_a_bad_row(read: Callable[..., list[InputBatch]]) -> None:
    content = b"n\n" + b"".join(b"%d\n" % number for number in range(7_000)) + b"x\n8\n"
    batches = read(content, stop_at_bad=True)
    assert [batch.rows.num_rows for batch in batches] == [5_000, 2_000]
    assert [bad.number for batch in batches for bad in batch.bad] == [7_001]
    assert sum(batch.rows.num_rows for batch in read(content, skip_rows=6_999)) == 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'n,s\n1,"a\n2,b\n', "line 2: a quote is not closed"),
        (b"n,m\n1,2\n", "line 1: no column 'm'; columns are n, s, d"),
        (b"n,n\n", "line 1: the header names column 'n' twice"),
        ("n,s\n".encode("utf-16"), "is UTF-16"),
        (gzip.compress(CSV, mtime=0)[:-6], "cannot read"),
        (b"n,s\n" + b"x" * (33 << 20), "line 2 is longer than 32 MiB"),
    ],
)
def test_files_that_cannot_be_read_on(read: Callable[..., list[InputBatch]], content: bytes, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        read(content)


def test_rows_before_an_unreadable_part_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b'n,s\n1,a\n2,"b')
    batches = InputFile(str(path), "csv", SCHEMA).batches()
    assert next(batches).rows.num_rows == 1
    with pytest.raises(InputError, match="line 3: a quote is not closed"):
        next(batches)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"{", "line 1: not JSON"),
        (b"\xff", "line 1: not JSON"),
        (b"1,2\n", "line 1: not JSON"),
        (b"[1]", "line 1: a row is a JSON object, not list"),
        (b'{"m": 1}', "line 1: no column 'm'; columns are n, s, d"),
        (b'{"s": "\\ud800"}', r"line 1: column 's': '\\ud800' is not a STRING"),
        (b"[" * 100_000, "line 1: not JSON: nested too deeply"),
    ],
)
def test_bad_rows_tell_why(read: Callable[..., list[InputBatch]], text: bytes, reason: str) -> None:
    (batch,) = read(text, "rows.jsonl")
    assert reason.replace("\\\\", "\\") in batch.bad[0].reason


def test_bad_rows_of_parquet_are_found(read: Callable[..., list[InputBatch]], tmp_path: Path) -> None:
    table = pa.table({"n": pa.array([1, 2**40, 3, 2**41, 5]), "d": pa.array([0.25, 1.0, 1.005, 1.0, 2.5])})
    pq.write_table(table, tmp_path / "made.parquet")
    (batch,) = read((tmp_path / "made.parquet").read_bytes(), "rows.parquet")
    assert batch.rows.column("n").to_pylist() == [1, 5]
    assert [str(value) for value in batch.rows.column("d").to_pylist()] == ["0.25", "2.50"]
    assert list(batch.numbers) == [1, 5]
    assert [bad.number for bad in batch.bad] == [2, 3, 4]
    assert "row 3: column 'd': not a decimal128(20, 2) without rounding" in batch.bad[1].reason
    (stopped,) = read((tmp_path / "made.parquet").read_bytes(), "rows.parquet", stop_at_bad=True)
    assert (stopped.rows.num_rows, stopped.last) == (1, 2)
    assert next(iter(json_lines(batch.rows, SCHEMA))) == b'{"n": 1, "s": null, "d": "0.25"}'


def test_formats_of_names() -> None:
    assert [format_of(name) for name in ("a.CSV", "a.tsv.gz", "b.json", "c.parquet")] == [
        "csv",
        "tsv",
        "jsonl",
        "parquet",
    ]
    with pytest.raises(UsageError):
        format_of("rows.txt")
    with pytest.raises(UsageError):
        InputFile("-", "parquet", SCHEMA)
    with pytest.raises(UsageError):
        InputFile("a.jsonl", "jsonl", SCHEMA, ";")


def test_an_empty_line_is_null_when_there_is_one_column(read: Callable[..., list[InputBatch]]) -> None:
    assert [row["s"] for row in rows(read(b's\na\n\n""\n'))] == ["a", None, ""]
