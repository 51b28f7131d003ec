"""What an idle server has not loaded: it would cost every start time and memory, and most servers never use it."""

from __future__ import annotations

import subprocess
import sys

import pytest

NOT_LOADED = {
    "difflib",
    "google.protobuf",
    "grpc",
    "numpy",
    "pkgutil",
    "platform",
    "prometheus_client",
    "pyarrow",
    "rocksdict",
    "shutil",
    "zoneinfo",
}

PROGRAM = """
import sys
before = set(sys.modules)
import asyncio
from pathlib import Path
import fluss_server.cli.main, fluss_server.cli.local
from fluss_server.processes.local import LocalServer
from fluss_server.runtime import event_loop

async def run():
    server = LocalServer(Path(sys.argv[1]))
    await server.start()
    print(*sorted(set(sys.modules) - before))
    await server.close()

event_loop.run(run())
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Modules that a server on an empty directory has loaded when it is ready."""
    data_dir = tmp_path_factory.mktemp("data") / "fluss"
    command = [sys.executable, "-c", PROGRAM, str(data_dir)]
    return set(subprocess.run(command, capture_output=True, check=True, text=True, timeout=60).stdout.split())


def test_an_idle_server_has_loaded_nothing_that_few_servers_need(loaded: set[str]) -> None:
    assert "fluss_server.coordinator.partition_time" in loaded
    assert not loaded & NOT_LOADED
