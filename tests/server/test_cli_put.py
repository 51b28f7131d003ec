"""``fluss put``: which rows are in the table when not all of them are."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fluss_server.testing import LocalCluster
from server.cli_support import Fluss


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(grpc=True) as running:
        yield running


@pytest.fixture
def fluss(cluster: LocalCluster, tmp_path: Path) -> Fluss:
    return Fluss(cluster, tmp_path)


def numbers(fluss: Fluss, table: str) -> list[object]:
    return [row["n"] for row in fluss.rows("head", table, "-n", "100000")]


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_json_numbers_and_all_other_decimals_stay_exact(fluss: Fluss, tmp_path: Path, suffix: str) -> None:
    fluss("create-table", f"CREATE TABLE exact_{suffix} (d DECIMAL(20, 2))")
    number = "123456789012345678.91"
    (tmp_path / "d.jsonl").write_text(f'{{"d": {number}}}\n')
    (tmp_path / "d.csv").write_text(f"d\n{number}\n")
    pq.write_table(pa.table({"d": pa.array([number]).cast(pa.decimal128(38, 10))}), tmp_path / "d.parquet")
    fluss("put", f"exact_{suffix}", f"d.{suffix}")
    assert fluss.rows("head", f"exact_{suffix}") == [{"d": number}]


def test_a_rerun_after_a_bad_row_repeats_nothing(fluss: Fluss, tmp_path: Path) -> None:
    fluss("create-table", "CREATE TABLE rerun (n INT)")
    lines = [f'{{"n": {number}}}' for number in range(7_000)]
    lines[6_000] = '{"n": "six thousand"}'
    (tmp_path / "bad.jsonl").write_text("\n".join(lines))
    message = fluss("put", "rerun", "bad.jsonl", code=1)
    assert "line 6001: column 'n': 'six thousand' is not a INT" in message
    assert "hint: the first 6000 rows are in; go on with --skip-rows 6000" in message
    lines[6_000] = '{"n": 6000}'
    (tmp_path / "bad.jsonl").write_text("\n".join(lines))
    fluss("put", "rerun", "bad.jsonl", "--skip-rows", "6000")
    assert numbers(fluss, "rerun") == list(range(7_000))
    assert "no row was written" in fluss("put", "rerun", "-", stdin=b'{"n": []}', code=1)


def test_bad_rows_can_be_left_out_and_put_later(fluss: Fluss, tmp_path: Path) -> None:
    fluss("create-table", "CREATE TABLE skipped (n INT, s STRING)")
    rows = ["n;s"] + [f"{number};{'bad' if number % 1_000 == 7 else 'good'}" for number in range(6_000)]
    content = "\n".join(rows).replace(";bad", "x;bad")
    (tmp_path / "rows.csv.gz").write_bytes(gzip.compress(b"\xef\xbb\xbf" + content.encode()))
    remark = fluss.remark("put", "skipped", "rows.csv.gz", "--delimiter", ";", "--on-error", "skip")
    assert "refused: line 9: column 'n': '7x' is not a INT" in remark
    assert "5994 rows appended to fluss.skipped" in remark
    assert "6 rows refused, kept in rows.rejected.csv" in remark
    rejected = tmp_path / "rows.rejected.csv"
    assert rejected.read_text().splitlines() == ["n;s"] + [f"{number}x;bad" for number in range(7, 6_000, 1_000)]
    rejected.write_text(rejected.read_text().replace("x", ""))
    fluss("put", "skipped", "rows.rejected.csv", "--delimiter", ";")
    assert sorted(map(int, map(str, numbers(fluss, "skipped")))) == list(range(6_000))
    named = fluss.remark("put", "skipped", "-", "--on-error", "skip", "--rejected", "mine.jsonl", stdin=b"nonsense\n")
    assert "1 row refused, kept in mine.jsonl" in named
    assert (tmp_path / "mine.jsonl").read_bytes() == b"nonsense\n"


def test_bad_rows_of_parquet_become_json_lines(fluss: Fluss, tmp_path: Path) -> None:
    fluss("create-table", "CREATE TABLE wide (n INT)")
    pq.write_table(pa.table({"n": [1, 2**40, 3]}), tmp_path / "rows.parquet")
    message = fluss("put", "wide", "rows.parquet", code=1)
    assert "row 2: column 'n'" in message
    assert "the first row is in" in message
    fluss("put", "wide", "rows.parquet", "--on-error", "skip", "--skip-rows", "1")
    assert numbers(fluss, "wide") == [1, 3]
    assert (tmp_path / "rows.rejected.jsonl").read_text() == f'{{"n": {2**40}}}\n'


def test_rows_that_the_server_refuses_are_kept(fluss: Fluss, tmp_path: Path) -> None:
    fluss("create-table", "CREATE TABLE halves (n INT, day STRING) PARTITIONED BY (day)")
    rows = [{"n": number, "day": "1" if number < 3 else None} for number in range(5)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    message = fluss("put", "halves", "rows.jsonl", code=1)
    assert "PARTITION_SPEC_INVALID_EXCEPTION" in message
    assert "the first 5 rows are in, except 2 in rows.rejected.jsonl; go on with --skip-rows 5" in message
    assert numbers(fluss, "halves") == [0, 1, 2]
    kept = [json.loads(line) for line in (tmp_path / "rows.rejected.jsonl").read_text().splitlines()]
    assert kept == rows[3:]


def test_nothing_of_a_refused_batch_is_in(tmp_path: Path) -> None:
    options = {
        "security.protocol.map": "FLUSS:SASL",
        "security.sasl.plain.credentials": "admin:admin-pass,bob:bob-pass",
        "authorizer.enabled": "true",
        "super.users": "User:admin",
    }
    with LocalCluster(tmp_path / "data", grpc=True, options=options) as own:
        admin, bob = Fluss(own, tmp_path), Fluss(own, tmp_path)
        admin.environment |= {"FLUSS_USER": "admin", "FLUSS_PASSWORD": "admin-pass"}
        bob.environment |= {"FLUSS_USER": "bob", "FLUSS_PASSWORD": "bob-pass"}
        admin("create-table", "CREATE TABLE t (n INT)")
        admin("create-table", "CREATE TABLE k (n INT PRIMARY KEY)")
        assert (
            admin.remark("acl", "grant", "bob", "DESCRIBE", "--table", "t")
            == "granted: User:bob DESCRIBE on table fluss.t"
        )
        message = bob("put", "t", "-", stdin=b'{"n": 1}\n{"n": 2}', code=1)
        assert "error 48 AUTHORIZATION_EXCEPTION" in message
        assert "no row was written" in message
        assert not list(tmp_path.glob("*rejected*"))
        _permissions(admin, bob)


def _permissions(admin: Fluss, bob: Fluss) -> None:
    """``fluss acl`` from nothing to everything and back."""
    admin("acl", "grant", "User:bob", "read,write", "--table", "fluss.t")
    bob("put", "t", "-", stdin=b'{"n": 1}')
    assert bob.rows("head", "t") == [{"n": 1}]
    admin("acl", "grant", "*", "DESCRIBE", "--database", "fluss", "--from-host", "127.0.0.1")
    assert next(row for row in bob.rows("tables") if row["table"] == "k")["rows"] is None, "rows need READ"
    admin("acl", "grant", "bob", "WRITE", "--table", "k")
    assert "READ is needed to tell" in bob.remark("delete", "k", "n=1")
    entries = {(row["name"], row["principal"], row["operation"], row["from_host"]) for row in admin.rows("acl", "list")}
    assert entries == {
        ("fluss.t", "User:bob", "DESCRIBE", "*"),
        ("fluss.t", "User:bob", "READ", "*"),
        ("fluss.t", "User:bob", "WRITE", "*"),
        ("fluss.k", "User:bob", "WRITE", "*"),
        ("fluss", "*:*", "DESCRIBE", "127.0.0.1"),
    }
    assert len(admin.rows("acl", "list", "--principal", "bob", "--table", "t")) == 3
    assert "nothing revoked" in admin.remark("acl", "revoke", "bob", "DROP", "--table", "t", code=1)
    assert admin.remark("acl", "revoke", "bob", "ANY", "--table", "t").count("revoked: User:bob") == 3
    assert "error 48" in bob("head", "t", code=1)
