"""docs/protocol/apis.md lists the APIs that a server serves, with their numbers, messages and versions."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from fluss_server.api import messages as pb
from fluss_server.api.keys import API_SPECS, ApiKey
from fluss_server.rpc.client import RpcClient
from fluss_server.testing import LocalCluster

PAGE = Path(__file__).resolve().parents[2] / "docs/protocol/apis.md"
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
