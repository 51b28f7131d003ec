"""The last segment cut at every byte of its last batch: the server starts by itself and has all batches before it."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.formats.kv_batch import build_kv_batch
from fluss_server.formats.log_batch import iter_batches
from fluss_server.processes.local import LocalServer
from fluss_server.rpc.client import RpcClient
from fluss_server.testing import LocalCluster
from table_rpc import create_from, descriptor, log_batch, produce, put, read

BATCHES = 4
ROWS = 3


def upsert_batch(first: int) -> bytes:
    """Rows ``first`` .. ``first + ROWS - 1`` of (id, v)."""
    entries = [
        (bytes([key]), b"\x00" + bytes([key]) + b"\x02v" + bytes([48 + key])) for key in range(first, first + ROWS)
    ]
    return bytes(build_kv_batch(1, entries))


def segment(data_dir: Path, name: str) -> Path:
    (found,) = data_dir.glob(f"fluss/{name}-*/log-0/*.log")
    return found


def write_and_kill(data_dir: Path) -> dict[str, int]:
    """Acknowledged batches in a log table and in a primary-key table, then SIGKILL."""

    async def write(port: int) -> dict[str, int]:
        client = await RpcClient.connect("127.0.0.1", port)
        ids = {
            "log": await create_from(client, "log", descriptor()),
            "kv": await create_from(client, "kv", descriptor(["id"])),
        }
        for number in range(BATCHES):
            responses = (
                await produce(client, ids["log"], log_batch(number * ROWS, ROWS)),
                await put(client, ids["kv"], upsert_batch(number * ROWS)),
            )
            assert not any(response.HasField("error_code") for response in responses)
        await client.close()
        return ids

    with LocalCluster(data_dir) as cluster:
        ids = asyncio.run(write(cluster.port))
        cluster.kill()
    return ids


async def lookup_all(client: RpcClient, table_id: int) -> list[bool]:
    request = pb.LookupRequest(table_id=table_id)
    request.buckets_req.add(bucket_id=0, keys=[bytes([key]) for key in range(BATCHES * ROWS)])
    response = (await client.call(ApiKey.LOOKUP, request)).buckets_resp[0]
    return [value.HasField("values") for value in response.values]


async def check(data_dir: Path, ids: dict[str, int], name: str, batches: int) -> None:
    server = LocalServer(data_dir)
    await server.start()
    try:
        client = await RpcClient.connect("127.0.0.1", server.port)
        high_watermark, records = await read(client, ids[name])
        assert high_watermark == batches * ROWS
        assert [header.base_offset for _, header in iter_batches(records)] == [
            number * ROWS for number in range(batches)
        ]
        if name == "kv":
            assert await lookup_all(client, ids["kv"]) == [key < batches * ROWS for key in range(BATCHES * ROWS)]
            response: Any = await put(client, ids["kv"], upsert_batch(BATCHES * ROWS))
            assert response.log_end_offset == (batches + 1) * ROWS
        else:
            response = await produce(client, ids["log"], log_batch(0, ROWS))
            assert response.base_offset == batches * ROWS
        await client.close()
    finally:
        await server.close()


@pytest.mark.crash
@pytest.mark.slow
@pytest.mark.parametrize("name", ["log", "kv"])
def test_a_cut_at_every_byte_of_the_last_batch(tmp_path: Path, name: str) -> None:
    ids = write_and_kill(tmp_path / "origin")
    data = segment(tmp_path / "origin", name).read_bytes()
    last = max(position for position, _ in iter_batches(data))
    whole = len(data)
    assert len(list(iter_batches(data))) == BATCHES
    for cut in range(last, whole + 1):
        copy = tmp_path / "copy"
        shutil.copytree(tmp_path / "origin", copy)
        with open(segment(copy, name), "r+b") as file:
            file.truncate(cut)
        try:
            asyncio.run(check(copy, ids, name, BATCHES if cut == whole else BATCHES - 1))
        except BaseException as error:
            error.args = (f"cut at byte {cut - last} of {whole - last}: {error}",)
            raise
        shutil.rmtree(copy)
