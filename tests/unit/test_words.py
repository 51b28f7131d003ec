"""The code uses the words of Kafka, Flink, RocksDB, ZooKeeper and gRPC: names, docstrings, comments and messages.

The list of words is that of the documentation's test (``tests/docs/test_words.py``).
"""

from __future__ import annotations

import io
import re
import tokenize
from pathlib import Path

import pytest

import fluss_server
from docs.test_words import INVENTED

ROOT = Path(fluss_server.__file__).parent

# Where a word of the list is right: a part of the text around it, and why.
ALLOWED = {
    "parked": "trio's parking lot: waiting fetches, and the option server.fetch.max-parked",
    "grant": "what GRANT does with an ACL entry; memory and time of the loop are granted, too",
    "byte order mark": "its name",
    "utf8 mark": "the same",
    "utf16 marks": "the same",
    "shape": "of a NumPy array",
    "log module": "JAAS",
    "login module": "JAAS",
    "logged in": "written to the log in some seconds",
    "turns out": "the verb",
    "turn out": "the verb",
    " turn": "the verb: turn one thing into another",
    "turn errors": "the same",
    "turns counts": "the same",
    "[mark ": "a number in a format of another library",
    "unknown mark": "the same",
    "no mark for it": "the same",
    "give up after s": "how long a client retries",
}
PACKAGES = sorted(path.name for path in ROOT.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists())
_PATTERN = re.compile("|".join(rf"(?P<w{index}>\b(?:{pattern})\b)" for index, pattern in enumerate(INVENTED)), re.I)
_KNOWN = list(INVENTED.values())


def texts_of(path: Path) -> list[tuple[int, str]]:
    """Names (split into words), comments and literals with the numbers of their lines."""
    found = []
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING):
            found.append((token.start[0], token.string))
        elif token.type == tokenize.NAME:
            words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_", " ", token.string)
            found.append((token.start[0], words))
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_code_uses_known_words(package: str) -> None:
    root = ROOT / package
    problems = []
    for path in sorted(root.rglob("*.py")) if root.is_dir() else [root]:
        for line, text in texts_of(path):
            for match in _PATTERN.finditer(text):
                around = text[max(0, match.start() - 20) : match.end() + 15].lower()
                if any(part in around for part in ALLOWED):
                    continue
                known = _KNOWN[int((match.lastgroup or "w0")[1:])]
                problems.append(f"{path.relative_to(ROOT)}:{line}: {match[0]!r}, better: {known}")
    assert problems == []
