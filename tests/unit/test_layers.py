"""Dependencies point one way: a module imports only from its own layer's package or from layers below."""

from __future__ import annotations

import ast
from pathlib import Path

import fluss_server

ROOT = Path(fluss_server.__file__).parent

# Package or module of fluss_server → layer. Within a layer, packages do not import each other unless listed in
# SIBLINGS.
LAYERS = {
    "errors": 0,
    "metrics": 1,
    "runtime": 0,
    "config": 1,
    "model": 1,
    "api": 1,
    "formats": 2,
    "metadata": 3,
    "cluster": 4,
    "rpc": 3,
    "grpc_server": 4,
    "security": 4,
    "log": 4,
    "kv": 4,
    "replica": 5,
    "coordinator": 6,
    "tablet": 6,
    "server_settings": 7,
    "reporters": 7,
    "local": 8,
    "simulation": 9,
    "testing": 9,
    "cli": 9,
    "__main__": 10,
    "__init__": 0,
}
SIBLINGS = {
    ("kv", "log"),  # the log is the write-ahead log of the KvStore
}


def package_of(path: Path) -> str:
    relative = path.relative_to(ROOT)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = (
                [node.module]
                if node.module != "fluss_server"
                else [f"fluss_server.{alias.name}" for alias in node.names]
            )
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("fluss_server.")}
    return found - {"__version__"}


def test_imports_point_down() -> None:
    checked = 0
    for path in ROOT.rglob("*.py"):
        own = package_of(path)
        for other in imports_of(path):
            if other == own:
                continue
            checked += 1
            assert other in LAYERS, f"{path}: where does {other} belong?"
            assert LAYERS[other] < LAYERS[own] or (own, other) in SIBLINGS, f"{path} imports {other}"
    assert checked > 50
