"""The code of documents that tests run: fenced blocks behind a comment ``<!-- test: name -->``."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README_SERVER = "127.0.0.1:9123"
_BLOCK = re.compile(r"<!-- test: (?P<name>[\w-]+) -->\n```\w+\n(?P<code>.*?)```", re.DOTALL)


def example(name: str, document: str = "README.md") -> str:
    """The code of one block."""
    return examples(document)[name]


def examples(document: str) -> dict[str, str]:
    """All blocks of a document with a name, in its order."""
    return {match["name"]: match["code"] for match in _BLOCK.finditer((ROOT / document).read_text())}
