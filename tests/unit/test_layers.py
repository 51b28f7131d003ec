"""Dependencies point one way: a module imports from its own package or from layers below, and never in a circle."""

from __future__ import annotations

import ast
from pathlib import Path

import fluss_server
from source_trees import tree_of

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
    "processes": 8,
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
    for node in ast.walk(tree_of(path)):
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


def modules_imported_by(path: Path) -> set[str]:
    """Names of everything that a module imports, also inside functions and for type checkers only."""
    found = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom):
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def cycle_among(edges: dict[str, set[str]]) -> list[str]:
    """Names that form a circle, in its order; empty if there is none."""
    done: set[str] = set()

    def visit(name: str, trail: list[str]) -> list[str]:
        if name in trail:
            return [*trail[trail.index(name) :], name]
        if name in done:
            return []
        for other in sorted(edges[name]):
            if found := visit(other, [*trail, name]):
                return found
        done.add(name)
        return []

    for name in sorted(edges):
        if found := visit(name, []):
            return found
    return []


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    """Inside packages too, and imports for type checkers count: two modules that know each other are one."""
    paths = {
        ".".join(("fluss_server", *path.relative_to(ROOT).with_suffix("").parts)): path
        for path in ROOT.rglob("*.py")
        if path.name != "__init__.py"
    }
    edges = {name: modules_imported_by(path) & (paths.keys() - {name}) for name, path in paths.items()}
    assert sum(map(len, edges.values())) > 200
    assert " → ".join(cycle_among(edges)) == ""


def test_a_circle_is_found() -> None:
    assert cycle_among({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == ["b", "c", "b"]
    assert cycle_among({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
