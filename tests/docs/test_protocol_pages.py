"""The pages of the protocol list the APIs that servers serve, with their numbers, messages and versions."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import fluss_server
from fluss_server.api import messages as pb
from fluss_server.api import own_messages
from fluss_server.api.keys import API_SPECS, BETWEEN_SERVERS, ApiKey
from fluss_server.rpc.client import RpcClient
from fluss_server.testing import LocalCluster

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/protocol/apis.md"
BETWEEN = ROOT / "docs/protocol/between-servers.md"
SOURCES = Path(fluss_server.__file__).parent
_ROW = re.compile(r"^\| (\d+) \| (\w+) \| `(\w+)Request`, `(\w+)Response` \| (0|0 to \d) \|", re.MULTILINE)


def test_the_page_lists_what_is_served(fluss_cluster: LocalCluster) -> None:
    async def ask() -> dict[int, tuple[int, int]]:
        request = pb.ApiVersionsRequest(client_software_name="test", client_software_version="0")
        async with await RpcClient.connect("127.0.0.1", fluss_cluster.port) as client:
            response = await client.call(ApiKey.API_VERSIONS, request)
        return {entry.api_key: (entry.min_version, entry.max_version) for entry in response.api_versions}

    listed = {}
    for number, name, request, response, versions in _ROW.findall(PAGE.read_text()):
        key = ApiKey[name]
        assert (int(number), request, response) == (key, API_SPECS[key].messages, API_SPECS[key].messages)
        listed[int(number)] = (0, int(versions.rpartition(" ")[2]))
    assert listed == asyncio.run(ask())


def test_the_page_lists_every_call_between_servers() -> None:
    served = {
        ApiKey[name]
        for path in SOURCES.rglob("*.py")
        for name in re.findall(r"@rpc\(\s*ApiKey\.(\w+)", path.read_text())
    }
    rows = re.findall(r"^\| (\d+) \| (\w+) \| `(\w+)` \| .* → .* \|", BETWEEN.read_text(), re.MULTILINE)
    assert [(int(number), name, messages) for number, name, messages in rows] == [
        (int(key), key.name, API_SPECS[key].messages) for key in sorted(served & BETWEEN_SERVERS)
    ]


def test_the_page_has_every_message_of_this_project() -> None:
    page = BETWEEN.read_text()
    for name, fields in own_messages._MESSAGES.items():
        lines = [f"  {label} {kind} {field} = {number};\n" for number, label, kind, field in fields]
        assert (text := f"message {name} {{\n{''.join(lines)}}}\n") in page, f"{BETWEEN.name} lacks\n{text}"
