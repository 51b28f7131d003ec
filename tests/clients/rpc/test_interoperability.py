"""What one official client writes, all of them read: every type that all have, in log and primary-key tables."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from clients.rpc.client import ALL, JAVA, Client, Column
from clients.rpc.conftest import Running, connect
from fluss_server.testing import LocalCluster

pytestmark = pytest.mark.java

SECOND_NS = 1_000_000_000
VALUES: list[tuple[str, list[Any]]] = [
    ("BOOLEAN", [True, False]),
    ("TINYINT", [-128, 127]),
    ("SMALLINT", [-(2**15), 2**15 - 1]),
    ("INT", [-(2**31), 2**31 - 1]),
    ("BIGINT", [-(2**63), 2**63 - 1]),
    ("FLOAT", [1.5, -0.25]),
    ("DOUBLE", [1.7976931348623157e308, -5e-324]),
    ("STRING", ["", "Grüße, 世界 🚀"]),
    ("BYTES", [base64.b64encode(raw).decode() for raw in (b"", b"\x00\xff")]),
    ("BINARY(3)", [base64.b64encode(raw).decode() for raw in (b"\x00\x01\x02", b"\xff\xfe\xfd")]),
    ("DECIMAL(10, 2)", ["-99999999.99", "0.00"]),
    ("DECIMAL(38, 10)", ["9999999999999999999999999999.9999999999", "-0.0000000001"]),
    ("DATE", [-719162, 2932896]),
    ("TIME(3)", [0, 86_399_999]),
    ("TIMESTAMP(3)", [-SECOND_NS, 1_700_000_000_123 * 1_000_000]),
    ("TIMESTAMP(6)", [1000, 1_700_000_000_123_457 * 1000]),  # pyfluss and Java fail on parts of a ms before 1970
    ("TIMESTAMP_LTZ(3)", [0, 1_700_000_000_001 * 1_000_000]),
    ("TIMESTAMP_LTZ(6)", [1000, 1_700_000_000_123_457 * 1000]),
    ("ARRAY<INT>", [[], [1, None, -3]]),
    ("ARRAY<STRING>", [["a", "longer than seven"], [None]]),
    ("MAP<STRING, BIGINT>", [[], [["another key", None], ["k", 1]]]),
    ("ROW<x INT, y STRING>", [[1, "one"], [None, "longer than seven"]]),
]
COLUMNS = [Column("id", "INT NOT NULL"), *(Column(f"c{n}", text) for n, (text, _) in enumerate(VALUES))]
ROWS = [
    [0, *(values[0] for _, values in VALUES)],
    [1, *(values[1] for _, values in VALUES)],
    [2, *(None for _ in VALUES)],
]


@pytest.fixture(scope="module")
def everybody(running: Running) -> Iterator[dict[str, Client]]:
    """All official clients on one server."""
    with LocalCluster() as cluster:
        clients = {label: connect(label, cluster.bootstrap_servers, running.drivers) for label in ALL}
        yield clients
        for client in clients.values():
            client.close()


FORMATS = [
    *(pytest.param("ARROW", writer, ALL, id=f"ARROW-{writer}") for writer in ALL),
    *(
        pytest.param(other, writer, JAVA, id=f"{other}-{writer}")
        for other in ("INDEXED", "COMPACTED")
        for writer in JAVA
    ),
]
"""Format of a log, who writes, who reads: pyfluss has no rows in logs."""

KV_FORMATS = [
    *(pytest.param("COMPACTED", writer, ALL, id=f"COMPACTED-{writer}") for writer in ALL),
    *(pytest.param("INDEXED", writer, JAVA, id=f"INDEXED-{writer}") for writer in JAVA),
]
"""Likewise; pyfluss has no INDEXED rows."""


def by_id(rows: list[list[Any]]) -> list[list[Any]]:
    """Rows in the order of their first column."""
    return sorted(rows, key=lambda row: int(row[0]))


@pytest.mark.parametrize(("log_format", "writer", "readers"), FORMATS)
def test_a_log_table(everybody: dict[str, Client], log_format: str, writer: str, readers: tuple[str, ...]) -> None:
    table = f"log_{log_format}_{ALL.index(writer)}"
    everybody[writer].create_table(table, COLUMNS, properties={"table.log.format": log_format})
    everybody[writer].append(table, ROWS)
    for reader in readers:
        client = everybody[reader]
        assert [record["row"] for record in client.scan(table, 3)] == ROWS, reader
        assert by_id(client.limit_scan(table, 10)) == ROWS, reader
        if log_format == "ARROW":
            projected = [record["row"] for record in client.scan(table, 3, columns=["c21", "c7", "id"])]
            assert projected == [[row[22], row[8], row[0]] for row in ROWS], reader


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize(("kv_format", "writer", "readers"), KV_FORMATS)
def test_a_primary_key_table(
    everybody: dict[str, Client], kv_format: str, writer: str, readers: tuple[str, ...], version: str
) -> None:
    table = f"kv_{kv_format}_{ALL.index(writer)}_{version}"
    options = {"table.kv.format": kv_format, "table.kv.format-version": version}
    everybody[writer].create_table(table, COLUMNS, primary_key=["id"], properties=options)
    everybody[writer].upsert(table, ROWS)
    for reader in readers:
        client = everybody[reader]
        assert client.lookup(table, [[0], [1], [2], [3]]) == [[ROWS[0]], [ROWS[1]], [ROWS[2]], []], reader
        assert [record["row"] for record in client.scan(table, 3)] == ROWS, reader
        assert by_id(client.limit_scan(table, 10)) == ROWS, reader
