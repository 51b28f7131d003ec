"""docs/compatibility.md: which client calls which RPC in which version. Written from what tests observed.

With ``FLUSS_WRITE_COMPATIBILITY=1`` a test run puts what it saw into the page; otherwise tests compare with it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path

from clients.rpc.client import JAVA_0_9, JAVA_1_0, PYFLUSS
from fluss_server.api import messages as pb
from fluss_server.api.keys import API_SPECS, BETWEEN_SERVERS, FIRST_OWN_KEY, ApiKey
from fluss_server.rpc.client import RpcClient
from official.recording_cluster import RecordedCall

PAGE = Path(__file__).resolve().parents[2] / "docs" / "compatibility.md"
FLINK = "Flink connector 0.9.1"
COLUMNS = (PYFLUSS, JAVA_0_9, JAVA_1_0, FLINK)
NO_CALL = "-"
PRIVATE = BETWEEN_SERVERS | {
    ApiKey.COMMIT_LAKE_TABLE_SNAPSHOT,
    ApiKey.LAKE_TIERING_HEARTBEAT,
    ApiKey.PREPARE_LAKE_TABLE_SNAPSHOT,
}
"""Calls among servers and of the lake tiering service."""
PUBLIC = tuple(key for key in ApiKey if key not in PRIVATE and key < FIRST_OWN_KEY)

NOT_SERVED = {
    ApiKey.GET_KV_SNAPSHOT_METADATA: "step 3: snapshots are files in remote storage",
    ApiKey.ACQUIRE_KV_SNAPSHOT_LEASE: "step 3: there are no snapshots to lease",
    ApiKey.RELEASE_KV_SNAPSHOT_LEASE: "step 3",
    ApiKey.DROP_KV_SNAPSHOT_LEASE: "step 3",
    ApiKey.LIST_REMOTE_LOG_MANIFESTS: "step 3: logs are local",
    ApiKey.LIST_KV_SNAPSHOTS: "step 3",
}
"""Why a public call is not served."""

_INTRODUCTION = """# Compatibility

Which official client calls which RPC of this server, and in which version. `v0` means that a test made the client call
it and checked the response. `-` means that the client has no such call, or needs it for nothing that this server has.

The table is written by tests (`make compatibility`), and other tests compare it with the running server
(`tests/clients/rpc`, `tests/official`, `tests/docs`). The artifacts are the published ones, unchanged: `pyfluss`,
`org.apache.fluss:fluss-client` and `org.apache.fluss:fluss-flink-2.2` (on Flink 2.3, with one class that 2.3 lacks).

"""
_NOTES = """
Calls between servers exist between the servers of a cluster only ([between servers](protocol/between-servers.md)).
Calls of the lake tiering service are planned (step 5).

## Other clients

The Spark connector 0.9.1 works for what the server supports: in a trial, 29 of 34 checks passed, and the others need
remote storage, lakes or clusters. It is not part of the tests.

## Where 1.0 differs from 0.9.1

Clients of 0.9.1 and 1.0.0 talk to the same server. Where the two official versions have different rules, this server
follows 1.0:

| subject | 0.9.1 | 1.0 and this server |
|---|---|---|
| creating and dropping access control entries | requires ALTER on the resource | requires ALL |
| limit of buckets, `max.bucket.num` | 128,000 for a table with all partitions | 4,096 for a table, or each partition |
| a replication factor of 0 | INVALID_REPLICATION_FACTOR (17) | INVALID_CONFIG_EXCEPTION (39) |
| changing `table.log.ttl` | is not possible | is possible ([reference](reference.md)) |
| the database `fluss` | can be dropped | cannot be dropped |
"""


def read_page() -> dict[tuple[ApiKey, str], str]:
    """The cells of the page by RPC and column; the column ``server`` included."""
    cells: dict[tuple[ApiKey, str], str] = {}
    if not PAGE.is_file():
        return cells
    for line in PAGE.read_text().splitlines():
        if line.startswith("| `"):
            values = [value.strip() for value in line.strip("|").split("|")]
            key = ApiKey[values[0].strip("`").split("`")[0]]
            for column, value in zip(("server", *COLUMNS), values[2:], strict=True):
                cells[key, column] = value
    return cells


def expected_version(api: ApiKey, column: str) -> int | None:
    """The version that the page states, None for a client without the call."""
    cell = read_page().get((api, column), NO_CALL)
    return None if cell == NO_CALL else int(cell.removeprefix("v"))


def render(cells: dict[tuple[ApiKey, str], str]) -> str:
    """The page."""
    lines = ["| RPC | key | server | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 3) + "|"]
    for key in PUBLIC:
        values = [cells.get((key, column), NO_CALL) for column in ("server", *COLUMNS)]
        lines.append(f"| `{key.name}` | {int(key)} | " + " | ".join(values) + " |")
    return _INTRODUCTION + "\n".join(lines) + "\n" + _NOTES


def server_cell(key: ApiKey, served: Iterable[ApiKey]) -> str:
    """What the page says about the server."""
    if key not in served:
        return f"no ({NOT_SERVED.get(key, 'not yet')})"
    spec = API_SPECS[key]
    low, high = spec.min_version, spec.max_version
    return f"v{low}" if low == high else f"v{low}-v{high}"


def served_apis(port: int) -> set[ApiKey]:
    """What a server on this machine says it serves."""

    async def ask() -> set[ApiKey]:
        client = await RpcClient.connect("127.0.0.1", port)
        try:
            request = pb.ApiVersionsRequest(client_software_name="tests", client_software_version="0")
            response = await client.call(ApiKey.API_VERSIONS, request)
            return {ApiKey(entry.api_key) for entry in response.api_versions}
        finally:
            await client.close()

    return asyncio.run(ask())


class Observations:
    """Versions that clients used, by RPC."""

    def __init__(self) -> None:
        self.writing = bool(os.environ.get("FLUSS_WRITE_COMPATIBILITY"))
        self._seen: dict[tuple[ApiKey, str], int] = {}

    def add(self, column: str, calls: Iterable[RecordedCall]) -> None:
        """Note the calls of the client of a column that were served."""
        for call in calls:
            self._seen[call.api, column] = max(call.version, self._seen.get((call.api, column), 0))

    def cells(self, column: str) -> dict[ApiKey, str]:
        """What a column of the page should hold."""
        return {key: f"v{version}" for (key, seen), version in self._seen.items() if seen == column and key in PUBLIC}

    def write_if_asked(self, port: int) -> None:
        """Put what was seen into the page, when the environment asks for it; ``port`` is that of a server."""
        if not self.writing:
            return
        cells = read_page()
        served = served_apis(port)
        cells |= {(key, "server"): server_cell(key, served) for key in PUBLIC}
        for column in {column for _, column in self._seen}:
            cells |= {(key, column): cell for key, cell in self.cells(column).items()}
        PAGE.write_text(render(cells))
