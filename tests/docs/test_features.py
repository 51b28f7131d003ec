"""docs/features.md says what the server does: RPCs are served or not, options exist."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.config.server_options import SERVER_OPTIONS
from fluss_server.config.table_options import TABLE_OPTIONS
from fluss_server.rpc.client import RpcClient
from fluss_server.testing import LocalCluster

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "features.md"
HEADER = ["feature", "official", "ours", "RPCs and options", "remark"]
OFFICIAL = ("0.9", "1.0", "X", "-")
CONNECTOR_OPTIONS = ROOT / "flink-sql/src/main/java/io/fluss/flink/table/FlussConnectorOptions.java"
_STATE = re.compile(r"(done|part|not yet) \(([1-6]|-)\)")
_CODE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Row:
    """One line of a table of the page."""

    line: int
    section: str
    feature: str
    official: str
    state: str
    step: str
    names: tuple[str, ...]
    remark: str

    @property
    def apis(self) -> set[ApiKey]:
        return {ApiKey[name] for name in self.names if name in ApiKey.__members__}

    @property
    def options(self) -> list[str]:
        return [name for name in self.names if name not in ApiKey.__members__]


def rows() -> Iterator[Row]:
    section = ""
    for number, line in enumerate(PAGE.read_text().splitlines(), 1):
        if line.startswith("## "):
            section = line.removeprefix("## ")
        if not line.startswith("|") or line.startswith("|---"):
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        assert len(cells) == len(HEADER), f"line {number} has {len(cells)} cells"
        if cells == HEADER:
            continue
        state = _STATE.fullmatch(cells[2])
        assert state is not None, f"line {number}: {cells[2]!r} is not a state"
        yield Row(number, section, cells[0], cells[1], state[1], state[2], tuple(_CODE.findall(cells[3])), cells[4])


ROWS = list(rows())


@pytest.fixture(scope="module")
def served(fluss_cluster: LocalCluster) -> set[ApiKey]:
    async def ask() -> set[ApiKey]:
        request = pb.ApiVersionsRequest(client_software_name="test", client_software_version="0")
        async with await RpcClient.connect("127.0.0.1", fluss_cluster.port) as client:
            response = await client.call(ApiKey.API_VERSIONS, request)
        return {ApiKey(entry.api_key) for entry in response.api_versions}

    return asyncio.run(ask())


def test_rows_are_well_formed() -> None:
    assert [row.line for row in ROWS if row.official not in OFFICIAL] == []
    assert [row.line for row in ROWS if row.state == "part" and not row.remark] == [], "what is missing?"
    assert [row.line for row in ROWS if row.state == "done" and row.step == "-"] == [], "done since when?"


def test_a_feature_has_one_row_in_its_section() -> None:
    twice = [key for key, count in Counter((row.section, row.feature) for row in ROWS).items() if count > 1]
    assert twice == []


def test_what_is_done_is_served(served: set[ApiKey]) -> None:
    missing = {row.feature: row.apis - served for row in ROWS if row.state == "done" and row.apis - served}
    assert missing == {}


def test_what_is_served_is_not_called_missing(served: set[ApiKey]) -> None:
    present = {row.feature: row.apis & served for row in ROWS if row.state == "not yet" and row.apis & served}
    assert present == {}


def test_every_served_rpc_has_a_row(served: set[ApiKey]) -> None:
    assert served <= {api for row in ROWS for api in row.apis}


def test_every_table_option_has_a_row() -> None:
    assert set(TABLE_OPTIONS) - {"table.replication.factor"} <= {name for row in ROWS for name in row.options}


def test_every_option_exists() -> None:
    connector = set(re.findall(r'ConfigOptions\.key\("([^"]+)"\)', CONNECTOR_OPTIONS.read_text()))
    known = set(SERVER_OPTIONS) | set(TABLE_OPTIONS) | connector
    unknown = {row.feature: set(row.options) - known for row in ROWS if set(row.options) - known}
    assert unknown == {}
