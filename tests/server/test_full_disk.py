"""A full disk: writes are refused with a clear error, reads go on, and nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fluss
import pyarrow as pa
import pytest

from clients.pyfluss_support import connection, new_table, read_changes
from fluss_server.testing import LocalCluster

SCHEMA = pa.schema([pa.field("n", pa.int64()), pa.field("filler", pa.binary())])
KEYED = pa.schema([pa.field("n", pa.int64(), nullable=False), pa.field("filler", pa.binary())])


Writer = fluss.UpsertWriter | fluss.AppendWriter


def write(writer: Writer, row: list[Any]) -> fluss.WriteResultHandle:
    return writer.upsert(row) if isinstance(writer, fluss.UpsertWriter) else writer.append(row)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 24 MB; needs the right to mount."""
    mount_point = tmp_path / "disk"
    mount_point.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small tmpfs needs root")
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(mount_point)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    yield mount_point
    subprocess.run(["umount", str(mount_point)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("keyed", [False, True], ids=["log", "primary key"])
def test_a_full_disk_refuses_writes_and_keeps_what_was_acknowledged(small_disk: Path, keyed: bool) -> None:
    def new_writer(table: fluss.FlussTable) -> Writer:
        return table.new_upsert().create_writer() if keyed else table.new_append().create_writer()

    async def fill(connected: fluss.FlussConnection, table: fluss.FlussTable) -> tuple[int, fluss.FlussError]:
        acknowledged = 0
        for _ in range(200):
            writer = new_writer(table)
            try:
                handles = [
                    write(writer, [value, os.urandom(4000)]) for value in range(acknowledged, acknowledged + 100)
                ]
                await asyncio.wait_for(writer.flush(), 30)
                for handle in handles:  # flush() alone does not raise
                    await handle.wait()
            except fluss.FlussError as error:
                return acknowledged, error
            acknowledged += 100
        raise AssertionError("80 MB went into a disk of 24 MB")

    async def present(connected: fluss.FlussConnection, table: fluss.FlussTable) -> set[int]:
        return {row["n"] for *_, row in await read_changes(connected, table)}

    async def run(cluster: LocalCluster, ballast: Path) -> None:
        async with connection(cluster.bootstrap_servers) as connected:
            table = await new_table(
                connected, "full", KEYED if keyed else SCHEMA, primary_keys=["n"] if keyed else None, bucket_count=1
            )
            acknowledged, error = await fill(connected, table)
            assert acknowledged > 0
            assert "disk" in str(error).lower() or "space" in str(error).lower(), error
            assert set(range(acknowledged)) <= await present(connected, table)
        os.unlink(ballast)  # space again: the same server takes writes
        async with connection(cluster.bootstrap_servers) as connected:
            table = await connected.get_table(fluss.TablePath("fluss", "full"))
            writer = new_writer(table)
            handle = write(writer, [10**9, b"after"])
            await asyncio.wait_for(writer.flush(), 30)
            await handle.wait()
        cluster.kill()
        cluster.start()
        async with connection(cluster.bootstrap_servers) as connected:
            table = await connected.get_table(fluss.TablePath("fluss", "full"))
            assert set(range(acknowledged)) | {10**9} <= await present(connected, table)

    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(4 << 20))
    with LocalCluster(small_disk / "data") as cluster:
        asyncio.run(run(cluster, ballast))
