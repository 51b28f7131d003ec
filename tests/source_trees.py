"""The modules of the server as syntax trees, for tests of what they may import and call."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path


@cache
def tree_of(path: Path) -> ast.Module:
    """Parsed once in a process; not to be changed."""
    return ast.parse(path.read_text())
