"""Content fingerprints: environments and the jar are made anew when their inputs changed, not when a time stamp did.

A fingerprint is the SHA-256 over the sorted relative paths and contents of files. A stamp file holds the fingerprint of
the inputs that the existing output was made from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_IGNORED_DIRECTORIES = frozenset(
    {"__pycache__", "build", "dist", "target", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
)


def files_below(paths: Iterable[Path]) -> Iterator[Path]:
    """Yields the files of `paths` (directories are walked) in a stable order, build products left out."""
    for path in paths:
        if path.is_file():
            yield path
            continue
        for child in sorted(path.iterdir()) if path.is_dir() else ():
            if child.is_dir():
                if child.name not in _IGNORED_DIRECTORIES and not child.name.endswith(".egg-info"):
                    yield from files_below([child])
            elif child.suffix != ".pyc":
                yield child


def fingerprint(paths: Iterable[Path], *extra: str) -> str:
    """Returns the fingerprint of the files below `paths` and of the `extra` strings."""
    digest = hashlib.sha256()
    for text in extra:
        digest.update(text.encode() + b"\0")
    for path in files_below(paths):
        name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.as_posix()
        digest.update(name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


class Stamp:
    """Remembers from which inputs an output was made."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def matches(self, value: str) -> bool:
        """True when the output was made from inputs with this fingerprint."""
        return self.path.is_file() and self.path.read_text(encoding="utf-8").strip() == value

    def clear(self) -> None:
        """Forgets the output; to be called before it is touched, so that a failure half-way leads to a rebuild."""
        self.path.unlink(missing_ok=True)

    def write(self, value: str) -> None:
        """Records that the output now corresponds to inputs with this fingerprint."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(value + "\n", encoding="utf-8")
