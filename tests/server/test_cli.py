"""Commands on a running server, beyond what docs/cli.md shows."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fluss_server.config import SERVER_OPTIONS
from fluss_server.log.file_names import LEADER_EPOCHS, LOG, path_of
from fluss_server.log.leader_epochs import EpochStart, encode_epochs
from fluss_server.testing import LocalCluster
from server.cli_support import Fluss, free_pair, read_until
from waiting import wait_until

COLUMNS = "(id BIGINT NOT NULL, day DATE, price DECIMAL(8, 2), tags ARRAY<STRING>, seen TIMESTAMP(6), PRIMARY KEY (id))"


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(grpc=True) as running:
        yield running


KEY = ", PRIMARY KEY (id) NOT ENFORCED"


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
        [sys.executable, "-m", "fluss_server", "tail", "spread", "--from", "earliest", "-o", "arrow"],
        env=fluss.environment,
        capture_output=True,
        timeout=60,
        check=True,
    )
    changelog = pa.ipc.open_stream(stream.stdout).read_all()
    assert sorted(changelog.column("n").to_pylist()) == list(range(12_000))
    assert set(changelog.column("_change_type").to_pylist()) == {"+I"}


def test_an_unknown_database(fluss: Fluss) -> None:
    assert "error 4 DATABASE_NOT_EXIST" in fluss("tables", "no-such-database", code=1)


def test_what_was_there_already_is_told(fluss: Fluss) -> None:
    fluss("create-table", "CREATE TABLE there (id INT, s STRING, PRIMARY KEY (id)) WITH ('owner' = 'me')")
    same = "CREATE TABLE IF NOT EXISTS there (id INT NOT NULL, s STRING, PRIMARY KEY (id))"
    assert fluss.remark("create-table", same) == "table fluss.there exists already; nothing changed"
    other = "CREATE TABLE there (id INT, PRIMARY KEY (id)) DISTRIBUTED INTO 3 BUCKETS"
    assert fluss.remark("create-table", other, "--if-not-exists") == (
        "table fluss.there exists already with other columns, number of buckets; nothing changed"
    )
    assert "TABLE_ALREADY_EXIST" in fluss("create-table", other, code=1)
    assert fluss.remark("drop-table", "missing", "--if-exists") == "there is no table fluss.missing; nothing dropped"
    assert "nothing dropped" in fluss.remark("drop-database", "missing", "--if-exists")
    assert "nothing changed" in fluss.remark("create-database", "fluss", "--if-not-exists")
    assert fluss.remark("delete", "there", "id=7", code=1) == "nothing deleted: fluss.there has no row with id=7"
    fluss("put", "there", "-", stdin=b'{"id": 7}')
    assert fluss.remark("delete", "there", "id=7") == "deleted from fluss.there: id=7"
    assert fluss("count", "there") == "0\n"


def test_partitions_say_what_happened(fluss: Fluss) -> None:
    fluss("create-table", "CREATE TABLE days (day STRING, n INT) PARTITIONED BY (day)")
    assert fluss.remark("create-partition", "days", "day=1") == "created partition day=1 of fluss.days"
    assert "exists already" in fluss.remark("create-partition", "days", "day=1", "--if-not-exists")
    assert fluss.remark("drop-partition", "days", "day=1") == "dropped partition day=1 of fluss.days"
    assert "nothing dropped" in fluss.remark("drop-partition", "days", "day=1", "--if-exists")


@pytest.fixture(scope="module")
def keys(cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> None:
    definition = "CREATE TABLE keys (a INT, b INT, c INT, PRIMARY KEY (a, b)) DISTRIBUTED BY (a) INTO 2 BUCKETS"
    Fluss(cluster, tmp_path_factory.mktemp("keys"))("create-table", definition)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["get", "keys", "1"], "'1' is not NAME=VALUE"),
        (["get", "keys", "a=x", "b=1"], "column 'a': 'x' is not a INT NOT NULL"),
        (["get", "keys", "c=1"], "column 'c' is not part of the primary key"),
        (["get", "keys", "z=1"], "has no column 'z'; its columns are a, b, c"),
        (["get", "keys", "b=1"], "a key of fluss.keys needs a, b, or at least a"),
        (["delete", "keys", "a=1"], "the key of fluss.keys lacks b"),
        (["head", "keys", "--bucket", "7"], "has no bucket 7, only 0 to 1"),
        (["head", "keys", "--partition", "a=1"], "it is not partitioned"),
        (["head", "keys", "--columns", "a,z"], "has no column 'z'"),
        (["tail", "keys", "--from", "yesterday"], "cannot start at 'yesterday'"),
        (["tail", "keys", "--from", "3"], "several buckets"),
        (["create-table"], "give a definition"),
        (["create-table", "{}"], "give its name with --name"),
        (["alter-table", "keys"], "nothing to change"),
        (["config", "set", "x"], "'x' is not NAME=VALUE"),
        (["put", "keys", "-", "--format", "parquet"], "cannot be read from standard input"),
        (["put", "keys", "rows.txt"], "does not tell the format"),
        (["acl", "grant", "bob", "FLY", "--cluster"], "'FLY' is not an operation"),
        (["local", "--port", "0", "--set", "foo=bar"], "unknown option 'foo'"),
        (["local", "--port", "0", "--set", "foo"], "has no '='"),
        (["local", "--config", "missing.yaml"], "cannot read missing.yaml: No such file"),
    ],
)
@pytest.mark.usefixtures("keys")
def test_wrong_usage_has_the_exit_code_2(fluss: Fluss, arguments: list[str], message: str) -> None:
    printed = fluss(*arguments, code=2)
    assert message in printed
    assert "Traceback" not in printed


def test_tables_are_altered(fluss: Fluss) -> None:
    fluss("create-table", "CREATE TABLE altered (a INT)")
    added = fluss.remark("alter-table", "altered", "--add-column", "b VARCHAR(9) COMMENT 'x'", "--add-column", "c INT")
    assert added.splitlines()[-1] == "table fluss.altered: added column b, added column c"
    assert "VARCHAR(9) becomes STRING" in added
    set_option = fluss.remark("alter-table", "altered", "--set", "table.log.ttl=3d", "--set", "owner=me")
    assert set_option == "table fluss.altered: set table.log.ttl=3d, set owner=me"
    sql = fluss("describe", "altered", "--sql")
    assert "  b STRING COMMENT 'x',\n  c INT\n" in sql
    assert "'table.log.ttl' = '3d'" in sql
    fluss("alter-table", "altered", "--reset", "owner")
    assert "owner" not in fluss("describe", "altered", "--sql")
    assert "cannot be changed together" in fluss(
        "alter-table", "altered", "--add-column", "d INT", "--reset", "owner", code=2
    )


def test_rows_are_counted_in_buckets_and_partitions(fluss: Fluss) -> None:
    fluss(
        "create-table",
        "CREATE TABLE parts (n INT, day STRING, PRIMARY KEY (n, day)) PARTITIONED BY (day) "
        "DISTRIBUTED BY (n) INTO 2 BUCKETS",
    )
    lines = "".join(json.dumps({"n": number, "day": str(number % 3)}) + "\n" for number in range(90))
    fluss("put", "parts", "-", stdin=lines.encode())
    assert fluss("count", "parts") == "90\n"
    assert fluss("count", "parts", "--partition", "day=1") == "30\n"
    counts = [int(fluss("count", "parts", "--partition", "day=1", "--bucket", str(bucket))) for bucket in (0, 1)]
    assert sum(counts) == 30
    assert all(counts)
    assert [row["rows"] for row in fluss.rows("tables") if row["table"] == "parts"] == [90]
    head = fluss.rows("head", "parts", "--partition", "day=2", "-n", "99", "--columns", "day,n")
    assert len(head) == 30
    assert list(head[0]) == ["day", "n"]
    assert {row["partition"] for row in fluss.rows("offsets", "parts", "--partition", "day=0")} == {"0"}
    assert "has no partition day=9" in fluss("count", "parts", "--partition", "day=9", code=1)


@pytest.mark.parametrize(
    ("suffix", "key"),
    [("csv", ""), ("tsv.gz", KEY), ("jsonl", ""), ("parquet", KEY)],
)
def test_what_is_exported_is_what_is_put_back(fluss: Fluss, tmp_path: Path, suffix: str, key: str) -> None:
    columns = (
        "id INT, s STRING, d DECIMAL(20, 2), f FLOAT, x DOUBLE, b BYTES, t TIMESTAMP(6), z TIMESTAMP_LTZ(3), day DATE, "
        f"c TIME(3), a ARRAY<STRING>, m MAP<STRING, INT>, r ROW<p INT, q STRING>, ok BOOLEAN{key}"
    )
    name = f"from_{suffix.replace('.', '_')}_{bool(key)}".lower()
    for table in (name, f"{name}_again"):
        fluss("create-table", f"CREATE TABLE {table} ({columns}) DISTRIBUTED BY (id) INTO 2 BUCKETS")
    row = {
        "id": 1,
        "s": 'a\x1b",\n\t',
        "d": "123456789012345678.91",
        "f": 0.1,
        "x": 1e300,
        "b": "AAE=",
        "t": "2026-05-31 01:02:03.000004",
        "z": "1969-12-31T23:59:59.123Z",
        "day": "1582-10-05",
        "c": "23:59:59.123",
        "a": ["x", None],
        "m": [["k", 1]],
        "r": {"p": None, "q": ""},
        "ok": True,
    }
    rows = [row, {**dict.fromkeys(row), "id": 2, "s": ""}, {**dict.fromkeys(row), "id": 3}]
    fluss("put", name, "-", stdin="".join(json.dumps(one) + "\n" for one in rows).encode())
    assert f"3 rows of fluss.{name} exported" in fluss.remark("export", name, f"rows.{suffix}")
    assert not list(tmp_path.glob("*.part"))
    fluss("put", f"{name}_again", f"rows.{suffix}")
    found = sorted(fluss.rows("head", f"{name}_again"), key=lambda one: str(one["id"]))
    assert found == rows
    assert found == sorted(fluss.rows("head", name), key=lambda one: str(one["id"]))


def test_many_rows_are_exported_in_portions(fluss: Fluss, tmp_path: Path) -> None:
    fluss("create-table", "CREATE TABLE large (id INT, s STRING, PRIMARY KEY (id)) DISTRIBUTED BY (id) INTO 2 BUCKETS")
    text = "x" * 2_000
    lines = "".join(json.dumps({"id": number, "s": f"{text}{number}"}) + "\n" for number in range(8_000))
    fluss("put", "large", "-", stdin=lines.encode())
    fluss("export", "large", "ids.csv", "--columns", "id")
    assert sorted(map(int, (tmp_path / "ids.csv").read_text().splitlines()[1:])) == list(range(8_000))
    assert "cannot write" in fluss("export", "large", "no/such/directory.csv", code=1)


def test_control_characters_in_data_are_shown_as_escapes(fluss: Fluss) -> None:
    fluss("create-table", "CREATE TABLE evil (s STRING)")
    fluss("put", "evil", "-", stdin=b'{"s": "\\u001b]0;title\\u0007\\nsecond line"}')
    for arguments in (["head", "evil"], ["tail", "evil"], ["tail", "evil", "-o", "json"]):
        printed = fluss(*arguments)
        assert "\x1b" not in printed
        assert "\x07" not in printed
        assert len(printed.splitlines()) == (1 if "json" in arguments else 2)
    assert "'\\ud800' is not a STRING" in fluss("put", "evil", "-", stdin=b'{"s": "\\ud800"}', code=1)


def test_ctrl_c_leaves_no_traceback(fluss: Fluss) -> None:
    fluss("create-table", "CREATE TABLE interrupted (n INT)")
    process = fluss.start("put", "interrupted", "-", stdin=subprocess.PIPE)
    try:
        assert process.stdin is not None
        process.stdin.write('{"n": 1}\n' * 5_000)
        process.stdin.flush()
        wait_until(lambda: fluss("count", "interrupted") == "5000\n", "all rows are there", 30)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stderr is not None
        message = process.stderr.read()
        assert "interrupted: the first 5000 rows are in; go on with --skip-rows 5000" in message
        assert "Traceback" not in message
    finally:
        process.kill()
        process.communicate()


def test_ctrl_c_in_a_measurement_drops_its_tables(fluss: Fluss) -> None:
    process = fluss.start("bench", "--rows", "100000000")
    try:
        read_until(process, lambda line: "one connection" in line)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
    finally:
        process.kill()
        process.communicate()
    assert not [row for row in fluss.rows("databases") if str(row["database"]).startswith("fluss_bench")]


def test_the_port_of_the_native_protocol_is_recognized(fluss: Fluss, tmp_path: Path) -> None:
    with free_pair(tmp_path / "pair") as cluster:
        native = f"127.0.0.1:{cluster.port}"
        message = fluss("tables", "--server", native, code=1)
        assert f"port {cluster.port} is that of Fluss's native protocol" in message
        assert f"--server 127.0.0.1:{cluster.grpc_port}" in message
    assert "cannot reach the gRPC server at" in fluss("tables", "--server", native, code=1)


def test_options_have_effective_values(fluss: Fluss) -> None:
    options = {row["option"]: (row["value"], row["source"]) for row in fluss.rows("config", "list")}
    assert options["netty.server.max-request-size"] == (
        SERVER_OPTIONS["netty.server.max-request-size"].default,
        "DEFAULT",
    )
    fluss("config", "set", "server.data-disk.write-limit-ratio=0.98")
    options = {row["option"]: (row["value"], row["source"]) for row in fluss.rows("config", "list")}
    assert options["server.data-disk.write-limit-ratio"] == ("0.98", "DYNAMIC_SERVER_CONFIG")
    fluss("config", "reset", "server.data-disk.write-limit-ratio")


def test_names_for_shells(fluss: Fluss) -> None:
    fluss("create-table", "CREATE TABLE named (id INT, b STRING, PRIMARY KEY (id))")
    fluss("create-database", "named_database")
    assert {"named", "fluss.named"} <= set(fluss("_names", "tables", "fluss", "tail", "").split())
    assert "named_database" in fluss("_names", "databases", "fluss", "tables", "").split()
    assert fluss("_names", "columns", "fluss", "tail", "named", "--columns", "").split() == ["b", "id"]
    assert fluss("_names", "key-columns", "fluss", "get", "named", "").split() == ["id="]


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
            copied = copy / log.relative_to(data)
            targets = {"log": copied, "epochs": copied.with_name(LEADER_EPOCHS)}
            target = targets.get(name) or next((copy / "fluss").glob("kv-*/kv-0/db/*.sst"))
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
    assert state_of("fluss/log-0/log-0", epochs=encode_epochs([EpochStart(0, 0)]))[0] == "ok"
    state, details = state_of("fluss/log-0/log-0", epochs=encode_epochs([EpochStart(0, 0)])[:-1])
    assert (state, "leader epochs" in details) == ("damaged", True)
    state, details = state_of("fluss/kv-1/kv-0", kv=b"not a table file")
    assert state == "recoverable"
    assert "RocksDB" in details
