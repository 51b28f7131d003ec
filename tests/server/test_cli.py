"""Commands on a running server, beyond what docs/cli.md shows."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fluss_server.log.file_names import LOG, path_of
from fluss_server.testing import LocalCluster

COLUMNS = "(id BIGINT NOT NULL, day DATE, price DECIMAL(8, 2), tags ARRAY<STRING>, seen TIMESTAMP(6), PRIMARY KEY (id))"


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(grpc=True) as running:
        yield running


class Fluss:
    """The command, as a process."""

    def __init__(self, cluster: LocalCluster, directory: Path) -> None:
        self.environment = {**os.environ, "FLUSS_SERVER": f"127.0.0.1:{cluster.grpc_port}"}
        self.directory = directory

    def __call__(self, *arguments: str, code: int = 0, stdin: bytes | None = None) -> str:
        result = subprocess.run(
            [sys.executable, "-m", "fluss_server", *arguments],
            env=self.environment,
            cwd=self.directory,
            input=stdin or b"",
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert result.returncode == code, result.stderr.decode()
        return (result.stdout if code == 0 else result.stdout + result.stderr).decode()

    def rows(self, *arguments: str) -> list[dict[str, object]]:
        return [json.loads(line) for line in self(*arguments, "--output", "json").splitlines()]


@pytest.fixture
def fluss(cluster: LocalCluster, tmp_path: Path) -> Fluss:
    return Fluss(cluster, tmp_path)


def test_parquet_csv_and_json_lines_give_the_same_rows(fluss: Fluss, tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text(
        '{"id": 1, "day": "2026-05-31", "price": "1.50", "tags": ["a", null], "seen": "2026-05-31 01:02:03.000004"}\n'
        "\n"
        '{"id": 2}\n'
    )
    (tmp_path / "r.csv").write_text(
        'id,day,price,tags,seen\n1,2026-05-31,1.50,"[""a"", null]",2026-05-31T01:02:03.000004\n2,,,,\n'
    )
    table = pa.table(
        {
            "id": pa.array([1, 2], pa.int32()),  # narrower than the column
            "price": pa.array(["1.5", None], pa.string()).cast(pa.decimal128(4, 1)),
            "day": pa.array([20604, None], pa.int32()).cast(pa.date32()),
            "tags": [["a", None], None],
            "seen": pa.array([1780189323000004, None], pa.timestamp("us", tz="UTC")),
        }
    )
    pq.write_table(table, tmp_path / "r.parquet")
    results = []
    for name in ("jsonl", "csv", "parquet"):
        fluss("create-table", f"CREATE TABLE same_{name} {COLUMNS}")
        fluss("put", f"same_{name}", f"r.{name}")
        results.append(fluss.rows("head", f"same_{name}"))
    assert results[0] == [
        {"id": 1, "day": "2026-05-31", "price": "1.50", "tags": ["a", None], "seen": "2026-05-31 01:02:03.000004"},
        {"id": 2, "day": None, "price": None, "tags": None, "seen": None},
    ]
    assert results[1] == results[0]
    assert results[2] == results[0]


def test_rows_spread_over_buckets_and_are_found_again(fluss: Fluss, tmp_path: Path) -> None:
    fluss(
        "create-table",
        "CREATE TABLE spread (a INT, b STRING, n INT, PRIMARY KEY (a, b)) DISTRIBUTED BY (a) INTO 3 BUCKETS",
    )
    lines = [json.dumps({"a": number % 100, "b": str(number // 100), "n": number}) for number in range(12_000)]
    (tmp_path / "many.jsonl").write_text("\n".join(lines))
    fluss("put", "spread", "many.jsonl")
    offsets = fluss.rows("offsets", "spread")
    assert sum(int(str(row["latest"])) for row in offsets) == 12_000
    assert all(int(str(row["latest"])) > 0 for row in offsets)
    assert fluss.rows("get", "spread", "a=42", "b=17") == [{"a": 42, "b": "17", "n": 1742}]
    assert sorted(int(str(row["n"])) for row in fluss.rows("get", "spread", "a=42")) == [
        42 + 100 * number for number in range(120)
    ]
    assert len(fluss.rows("head", "spread", "-n", "11000")) == 11_000
    stream = subprocess.run(
        [sys.executable, "-m", "fluss_server", "tail", "spread", "-o", "arrow"],
        env=fluss.environment,
        capture_output=True,
        timeout=60,
        check=True,
    )
    changelog = pa.ipc.open_stream(stream.stdout).read_all()
    assert sorted(changelog.column("n").to_pylist()) == list(range(12_000))
    assert set(changelog.column("_change_type").to_pylist()) == {"+I"}


def test_what_stands_before_a_bad_line_is_written(fluss: Fluss, tmp_path: Path) -> None:
    fluss("create-table", "CREATE TABLE partly (n INT)")
    lines = [f'{{"n": {number}}}' for number in range(7_000)]
    lines[6_000] = '{"n": "six thousand"}'
    (tmp_path / "bad.jsonl").write_text("\n".join(lines))
    message = fluss("put", "partly", "bad.jsonl", code=1)
    assert "line 6001: column 'n': 'six thousand' is not a INT" in message
    assert "the 5000 rows before this page are written and durable" in message
    assert fluss.rows("offsets", "partly") == [{"bucket": 0, "earliest": 0, "latest": 5_000}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "line 1: not JSON"),
        (b"[1]", "line 1: a row is a JSON object, not list"),
        (b'{"n": 1}\n{"m": 1}', "line 2: no column 'm'; columns are n"),
    ],
)
def test_bad_input(fluss: Fluss, content: bytes, message: str) -> None:
    fluss("create-table", "CREATE TABLE bad_input (n INT)", "--if-not-exists")
    assert message in fluss("put", "bad_input", "-", stdin=content, code=1)
    assert "does not tell the format" in fluss("put", "bad_input", "rows.txt", code=1)
    assert "cannot read none.csv" in fluss("put", "bad_input", "none.csv", code=1)


def test_follow_prints_what_comes_until_it_is_interrupted(fluss: Fluss, tmp_path: Path) -> None:
    fluss("create-table", "CREATE TABLE followed (n INT)")
    fluss("put", "followed", "-", stdin=b'{"n": 1}')
    process = subprocess.Popen(
        [sys.executable, "-m", "fluss_server", "tail", "followed", "--follow", "-o", "json"],
        env=fluss.environment,
        stdout=subprocess.PIPE,
        text=True,
        # Programs that a shell starts in the background ignore SIGINT, and so do their children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["n"] == 1
        fluss("put", "followed", "-", stdin=b'{"n": 2}')
        assert json.loads(process.stdout.readline())["n"] == 2
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


def test_an_unknown_database(fluss: Fluss) -> None:
    assert "error 4 DATABASE_NOT_EXIST" in fluss("tables", "no-such-database", code=1)


def test_doctor_tells_torn_writes_from_losses(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with LocalCluster(data, grpc=True) as own:
        fluss = Fluss(own, tmp_path)
        fluss("create-table", "CREATE TABLE log (n INT)")
        for number in range(3):
            fluss("put", "log", "-", stdin=f'{{"n": {number}}}'.encode())
        fluss("create-table", "CREATE TABLE kv (n INT PRIMARY KEY, t STRING)")
        fluss("put", "kv", "-", stdin=b'{"n": 1, "t": "x"}')
        assert "a server uses" in fluss("doctor", str(data), code=1)
    healthy = {row["part"]: row["state"] for row in fluss.rows("doctor", str(data))}
    assert set(healthy.values()) == {"ok"}
    assert len(healthy) == 4
    log = Path(path_of(data / "fluss" / "log-0" / "log-0", 0, LOG))

    def state_of(part: str, **changed: bytes) -> tuple[str, str]:
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(data, copy)
        for name, content in changed.items():
            target = (
                copy / log.relative_to(data) if name == "log" else next((copy / "fluss").glob("kv-*/kv-0/db/*.sst"))
            )
            target.write_bytes(content)
        broken = subprocess.run(
            [sys.executable, "-m", "fluss_server", "doctor", str(copy), "-o", "json"], capture_output=True, check=False
        )
        row = next(row for row in map(json.loads, broken.stdout.splitlines()) if row["part"] == part)
        assert (row["state"] == "damaged") == (broken.returncode == 1)
        return row["state"], "; ".join(row["details"])

    content = log.read_bytes()
    batch = len(content) // 3
    flipped = bytearray(content)
    flipped[batch + 60] ^= 1
    state, details = state_of("fluss/log-0/log-0", log=bytes(flipped))
    assert (state, "its CRC does not match" in details) == ("damaged", True)
    state, details = state_of("fluss/log-0/log-0", log=content[:-1])
    assert state == "damaged"
    state, details = state_of("fluss/log-0/log-0", log=content + content[: batch // 2])
    assert state == "recoverable", details
    state, details = state_of("fluss/kv-1/kv-0", kv=b"not a table file")
    assert state == "recoverable"
    assert "RocksDB" in details
