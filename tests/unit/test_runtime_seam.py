"""Nothing in the layers of the server reaches around :class:`fluss_server.runtime.Runtime`.

What reads a clock, a file, a socket, a thread or a random source by itself cannot be simulated, and its faults cannot
be tested. This scan reads the source of every module in :data:`PACKAGES`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import fluss_server
from source_trees import tree_of

ROOT = Path(fluss_server.__file__).parent

PACKAGES = (
    "api",
    "cluster",
    "config",
    "coordinator",
    "formats",
    "grpc_server",
    "kv",
    "log",
    "metadata",
    "metrics",
    "model",
    "processes",
    "replica",
    "rpc",
    "security",
    "tablet",
)
"""Layers 1 to 6. ``runtime`` is the seam; programs, tests and the simulation choose what is behind it."""

MODULES = frozenset(
    {
        "concurrent.futures",
        "fcntl",
        "kazoo",  # has sockets and threads of its own
        "mmap",
        "os",
        "random",
        "resource",
        "secrets",
        "select",
        "selectors",
        "shutil",
        "signal",
        "socket",
        "ssl",
        "subprocess",
        "tempfile",
        "threading",
        "time",
    }
)
"""Modules that talk to the operating system; importing one is enough. ``pathlib.PurePath`` names files and is fine."""

ASYNCIO = frozenset(
    {"open_connection", "open_unix_connection", "run", "start_server", "start_unix_server", "to_thread"}
)
LOOP_METHODS = frozenset(
    {
        "create_connection",
        "create_datagram_endpoint",
        "create_server",
        "getaddrinfo",
        "run_in_executor",
        "sock_accept",
        "sock_connect",
    }
)
"""Methods of an event loop that use threads or sockets; no other object of the server has methods of these names."""

EXEMPT = {
    ("api/messages.py", "threading"): "a lock of the module around a cache that holds no state of a server",
    (
        "metadata/zookeeper/connection.py",
        "kazoo",
    ): "the adapter of kazoo, which does its own I/O; a simulated cluster has a metadata store in memory instead",
    (
        "rpc/client.py",
        "fluss_server.runtime.system_network.SystemNetwork",
    ): "what programs that are only clients use when they name no network",
    ("processes/reporters.py", "socket"): "the name of the machine, a label of metrics",
}
"""Uses that stay, and why; the name of a package stands for everything in it.

RocksDB and grpcio do their own I/O in native code, which a scan of Python does not see.
"""


def uses(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of everything in a module that reaches around the seam."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name in MODULES or alias.name.split(".")[0] in MODULES:
                    yield node.lineno, alias.name
                elif alias.name == "pathlib":
                    yield node.lineno, "pathlib, of which only PurePath is allowed"
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from ((node.lineno, name) for name in _imported(node.module or "", node.names))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"open", "input"}:
            yield node.lineno, f"{node.func.id}()"
        elif isinstance(node, ast.Attribute):
            if node.attr in LOOP_METHODS:
                yield node.lineno, node.attr
            elif isinstance(node.value, ast.Name) and node.value.id == "asyncio" and node.attr in ASYNCIO:
                yield node.lineno, f"asyncio.{node.attr}"


def _imported(module: str, names: list[ast.alias]) -> Iterator[str]:
    around = module.split(".")[0] in MODULES or module in MODULES or module.startswith("fluss_server.runtime.system_")
    for alias in names:
        full = f"{module}.{alias.name}"
        is_path = module == "pathlib" and not alias.name.startswith("Pure")
        if around or is_path or full in MODULES or (module == "asyncio" and alias.name in ASYNCIO):
            yield full


def violations(package: str) -> list[str]:
    found = []
    for path in sorted((ROOT / package).rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        for line, use in uses(tree_of(path)):
            if (name, use) not in EXEMPT and (name, use.partition(".")[0]) not in EXEMPT:
                found.append(f"{name}:{line}: {use}")
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_uses_the_machine_through_the_runtime_only(package: str) -> None:
    found = violations(package)
    assert not found, "\n".join(found)


def test_exemptions_are_still_needed() -> None:
    found = {
        (path.relative_to(ROOT).as_posix(), name)
        for path in ROOT.rglob("*.py")
        for _, use in uses(tree_of(path))
        for name in (use, use.partition(".")[0])
    }
    assert set(EXEMPT) <= found


def test_waits_do_not_lose_cancellations() -> None:
    """``asyncio.wait_for`` of Python 3.10 and 3.11 does; ``runtime/waits.py`` has another one."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in ROOT.rglob("*.py")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute) and node.attr == "wait_for"
    ]
    assert not found


def test_every_package_is_scanned_or_is_at_the_top() -> None:
    top = {"cli", "runtime", "simulation", "testing"}
    present = {path.name for path in ROOT.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert set(PACKAGES) <= present <= set(PACKAGES) | top


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "import os.path",
        "from time import monotonic",
        "from concurrent.futures import Executor",
        "import concurrent.futures",
        "from kazoo.client import KazooClient",
        "from concurrent import futures",
        "from pathlib import Path, PurePath",
        "import pathlib",
        "from os import urandom as safe",
        "def f():\n    import socket",
        "open('x')",
        "async def f(loop): await loop.run_in_executor(None, f)",
        "async def f(): await asyncio.to_thread(f)",
        "from asyncio import to_thread",
        "asyncio.run(f())",
        "from fluss_server.runtime.system_disk import SystemFile",
    ],
)
def test_the_scan_finds(source: str) -> None:
    assert list(uses(ast.parse(source)))


def test_the_scan_lets_pass_what_only_names_files_or_uses_the_event_loop() -> None:
    source = "from pathlib import PurePath\nimport asyncio\nasyncio.get_running_loop().create_task\ndisk.open(path)\n"
    assert not list(uses(ast.parse(source)))
