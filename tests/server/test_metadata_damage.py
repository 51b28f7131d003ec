"""Damage to the metadata files of a whole server: noticed, reported, and never the end of a table's rows."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.arrow_batch import encode_payload
from fluss_server.formats.log_batch import build_batch
from fluss_server.model.table import ArrowCompression
from fluss_server.processes.local import LocalServer
from fluss_server.rpc.client import RpcClient
from table_rpc import create_from, descriptor, log_batch, produce, read, rows

TABLES = ["one", "two"]
ROWS = 5


def run(data: Path, body: Callable[[RpcClient], Awaitable[None]]) -> None:
    """Start a server on ``data``, let a client do something, and stop it."""

    async def all_of_it() -> None:
        server = LocalServer(data)
        await server.start()
        try:
            async with await RpcClient.connect("127.0.0.1", server.port) as client:
                await body(client)
        finally:
            await server.close()

    asyncio.run(all_of_it())


async def fill(client: RpcClient) -> None:
    for name in TABLES:
        table_id = await create_from(client, name, descriptor())
        await produce(client, table_id, log_batch(0, ROWS))


def batch_of(writer_id: int) -> bytes:
    """The first batch of a writer."""
    payload = encode_payload(rows(0, ROWS), ArrowCompression.NONE, 0)
    return bytes(
        build_batch(1, change_types=None, payload=payload, record_count=ROWS, writer_id=writer_id, batch_sequence=0)
    )


def files(data: Path) -> dict[str, bytes]:
    return {str(path.relative_to(data)): path.read_bytes() for path in data.rglob("*.log")}


def doctor(data: Path) -> tuple[int, dict[str, dict[str, Any]]]:
    """Exit code and findings by part."""
    command = [sys.executable, "-m", "fluss_server", "doctor", str(data), "-o", "json"]
    result = subprocess.run(command, capture_output=True, check=False, text=True)
    return result.returncode, {row["part"]: row for row in map(json.loads, result.stdout.splitlines())}


def test_a_flipped_bit_stops_the_start_and_doctor_reports_it(tmp_path: Path) -> None:
    run(tmp_path, fill)
    journal = tmp_path / "metadata.journal"
    whole, before = journal.read_bytes(), files(tmp_path)
    for position in [*range(0, len(whole), 41), len(whole) - 1]:
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        journal.write_bytes(damaged)
        with pytest.raises(FlussError, match="is damaged") as caught:
            run(tmp_path, nothing)
        assert caught.value.code is ErrorCode.STORAGE_EXCEPTION
        assert "restore the file from a copy" in (caught.value.hint or "")
        assert files(tmp_path) == before
    code, found = doctor(tmp_path)
    assert code == 1
    assert found["metadata.journal"]["state"] == "damaged"
    journal.write_bytes(whole)
    code, found = doctor(tmp_path)
    assert (code, found["metadata.journal"]["state"]) == (0, "ok")


async def nothing(client: RpcClient) -> None:
    """Only start and stop."""


def test_an_older_copy_is_noticed_and_rows_of_newer_tables_are_kept(tmp_path: Path) -> None:
    copies: list[bytes] = []
    journal = tmp_path / "metadata.journal"

    async def fill_with_copy(client: RpcClient) -> None:
        await fill(client)
        data = journal.read_bytes()
        copies.append(data[: data.rindex(b"\xffTX1", 0, data.index(b"/tables/two"))])

    run(tmp_path, fill_with_copy)
    before = files(tmp_path)
    journal.write_bytes(copies[0])
    with pytest.raises(FlussError, match="older copy") as caught:
        run(tmp_path, nothing)
    assert "remove its checkpoint file" in (caught.value.hint or "")
    code, found = doctor(tmp_path)
    assert (code, found["metadata.journal"]["state"]) == (1, "damaged")
    (tmp_path / "metadata.checkpoint").unlink()
    with pytest.raises(FlussError, match="two-1 holds a table or partition that the metadata does not know"):
        run(tmp_path, nothing)
    assert files(tmp_path) == before


@pytest.mark.parametrize("repaired", [False, True], ids=["", "repaired"])
def test_a_start_that_repaired_metadata_sets_directories_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, repaired: bool
) -> None:
    """Otherwise a directory without metadata is what a crash left of a dropped table, and is removed."""

    async def drop(client: RpcClient) -> None:
        path = pb.PbTablePath(database_name="fluss", table_name="two")
        await client.call(ApiKey.DROP_TABLE, pb.DropTableRequest(table_path=path, ignore_if_not_exists=False))

    data, saved = tmp_path / "data", tmp_path / "saved"
    run(data, fill)
    shutil.copytree(data / "fluss" / "two-1", saved)
    before = sorted(path.read_bytes() for path in saved.rglob("*.log"))
    run(data, drop)
    shutil.copytree(saved, data / "fluss" / "two-1")
    if repaired:
        (data / "metadata.checkpoint").unlink()
    run(data, nothing)
    kept = data / "fluss" / "two-1.orphaned"
    assert not (data / "fluss" / "two-1").exists()
    assert kept.exists() == repaired
    if not repaired:
        return
    assert "it is kept as two-1.orphaned" in caplog.text
    assert sorted(path.read_bytes() for path in kept.rglob("*.log")) == before
    assert any(before)
    code, found = doctor(data)
    assert (code, found["fluss/two-1.orphaned"]["state"]) == (0, "recoverable")
    assert "fluss/two-1.orphaned/log-0" not in found
    run(data, nothing)
    assert kept.exists()


def test_a_writer_id_of_lost_metadata_is_not_handed_out_again(tmp_path: Path) -> None:
    """Its batches would be taken for repetitions: acknowledged, and stored nowhere."""
    journal, checkpoint = tmp_path / "metadata.journal", tmp_path / "metadata.checkpoint"
    used: list[int] = []

    async def new_writer(client: RpcClient) -> int:
        request = pb.InitWriterRequest(table_path=[pb.PbTablePath(database_name="fluss", table_name="one")])
        return int((await client.call(ApiKey.INIT_WRITER, request)).writer_id)

    async def write(client: RpcClient) -> None:
        table_id = await create_from(client, "one", descriptor())
        older = journal.read_bytes(), checkpoint.read_bytes()
        used.append(await new_writer(client))
        await produce(client, table_id, batch_of(used[0]))
        copies.append(older)

    async def write_again(client: RpcClient) -> None:
        writer_id = await new_writer(client)
        assert writer_id > used[0]
        table_id = 0
        response = await produce(client, table_id, batch_of(writer_id))
        assert response.base_offset == ROWS
        high_watermark, _ = await read(client, table_id)
        assert high_watermark == 2 * ROWS

    copies: list[tuple[bytes, bytes]] = []
    run(tmp_path, write)
    journal.write_bytes(copies[0][0])
    checkpoint.write_bytes(copies[0][1])
    run(tmp_path, write_again)
