"""One file of a stopped server's data directory, damaged as a disk may do it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from random import Random

FILES = {
    "segment": "**/log-*/*.log",
    "offset index": "**/log-*/*.index",
    "time index": "**/log-*/*.timeindex",
    "writer snapshot": "**/log-*/*.writer_snapshot",
    "recovery point": "**/log-*/recovery-point",
    "flush checkpoint": "**/log-*/flushed-offset",
    "metadata journal": "metadata.journal",
    "metadata checkpoint": "metadata.checkpoint",
    "kv checkpoint": "**/kv-*/kv-checkpoint",
    "sst": "**/kv-*/db/*.sst",
    "manifest": "**/kv-*/db/MANIFEST-*",
    "current": "**/kv-*/db/CURRENT",
    "rocksdb options": "**/kv-*/db/OPTIONS-*",
}
WEIGHTS = {"segment": 6, "metadata journal": 4, "sst": 3, "manifest": 2}
KINDS = ("flip", "flip", "truncate", "remove")

_BUCKET = re.compile(r"fluss/(?P<table>.+)-\d+/(?:(?P<partition>.+)-p\d+/)?(?:log|kv)-(?P<bucket>\d+)\Z")


@dataclass(frozen=True)
class Damage:
    """What was done.

    Attributes:
        kind: one of :data:`KINDS`.
        file_class: one of :data:`FILES`.
        path: of the file.
        place: byte or new length.
        content: before.
    """

    kind: str
    file_class: str
    path: Path
    place: int
    content: bytes

    def __str__(self) -> str:
        return f"{self.kind} at {self.place} of {len(self.content)} bytes of {'/'.join(self.path.parts[-4:])}"

    def restore(self) -> None:
        """Put the file back."""
        self.path.write_bytes(self.content)


def damage(data: Path, rng: Random) -> Damage:
    """Damage one file."""
    while True:
        file_class = rng.choices(list(FILES), [WEIGHTS.get(name, 1) for name in FILES])[0]
        paths = sorted(path for path in data.glob(FILES[file_class]) if path.stat().st_size)
        if not paths:
            continue
        path = rng.choice(paths)
        content = path.read_bytes()
        kind = rng.choice(KINDS)
        place = rng.randrange(len(content))
        if kind == "flip":
            changed = bytearray(content)
            changed[place] ^= 1 << rng.randrange(8)
            path.write_bytes(changed)
        elif kind == "truncate":
            path.write_bytes(content[:place])
        else:
            path.unlink()
        return Damage(kind, file_class, path, place, content)


def doctor(data: Path) -> dict[str, tuple[str, str]]:
    """State and details by part, as ``fluss doctor`` reports them.

    Raises:
        AssertionError: it fails, or its exit code contradicts what it reports.
    """
    command = [sys.executable, "-m", "fluss_server", "doctor", str(data), "-o", "json"]
    result = subprocess.run(command, capture_output=True, check=False, text=True)
    assert "Traceback" not in result.stderr, result.stderr
    assert result.returncode in (0, 1), result.stderr
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert rows, f"the doctor says nothing: {result.stderr}"
    assert (result.returncode == 1) == any(row["state"] == "damaged" for row in rows), result.stdout
    return {row["part"]: (row["state"], "; ".join(row["details"])) for row in rows}


def bucket_of(part: str) -> str | None:
    """``table/bucket`` or ``table/partition/bucket`` of a directory of logs or rows, relative to the data directory."""
    found = _BUCKET.match(part)
    return None if found is None else "/".join(filter(None, found.group("table", "partition", "bucket")))


def contents(data: Path, *patterns: str) -> dict[str, bytes]:
    """Files by path relative to the directory."""
    return {
        str(path.relative_to(data)): path.read_bytes()
        for pattern in patterns
        for path in sorted(data.glob(pattern))
        if path.is_file()
    }
