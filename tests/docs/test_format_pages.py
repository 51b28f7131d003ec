"""The byte tables of docs/formats have the offsets and sizes of the structures in the code."""

from __future__ import annotations

import re
import struct
from itertools import accumulate
from pathlib import Path

import pytest

from fluss_server.formats import kv_batch, log_batch, value_batch
from fluss_server.kv import checkpoint as kv_checkpoint
from fluss_server.log import flush_checkpoint, leader_epochs, recovery_point
from fluss_server.metadata import checkpoint, journal

ROOT = Path(__file__).resolve().parents[2]
_FIELD = re.compile(r"\d*[a-z?]", re.IGNORECASE)


def tables(page: str) -> list[list[list[str]]]:
    """Rows of cells of each table of a page."""
    found: list[list[list[str]]] = [[]]
    for line in (ROOT / page).read_text().splitlines():
        if line.startswith("|"):
            found[-1].append([cell.strip().strip("*") for cell in line.strip("|").split("|")])
        elif found[-1]:
            found.append([])
    return found


def layout(*structures: struct.Struct) -> list[tuple[int, int]]:
    """Offset and size of each field of little-endian structures, one after the other."""
    sizes = [
        struct.calcsize(f"<{field}")
        for structure in structures
        for field in _FIELD.findall(structure.format.lstrip("<"))
    ]
    return list(zip([0, *accumulate(sizes)], sizes, strict=False))


def documented(page: str, number: int) -> list[tuple[int, int]]:
    """Offset and size of the fields of the ``number``-th table of offsets of a page; rows without size left out."""
    matching = [rows for rows in tables(page) if rows and rows[0][:2] == ["offset", "bytes"]]
    return [(int(row[0]), int(row[1])) for row in matching[number][2:] if row[1].isdigit()]


@pytest.mark.parametrize(
    ("page", "number", "structures"),
    [
        ("docs/formats/kv-batch.md", 0, (kv_batch._HEADER,)),
        ("docs/formats/kv-values.md", 1, (value_batch._BATCH_HEADER,)),
        ("docs/formats/log-files.md", 2, (recovery_point._BODY, recovery_point._CRC)),
        ("docs/formats/log-files.md", 3, (flush_checkpoint._BODY, flush_checkpoint._CRC)),
        ("docs/formats/log-files.md", 4, (leader_epochs._HEAD,)),
        ("docs/formats/log-files.md", 5, (leader_epochs._ENTRY,)),
        ("docs/formats/kv-files.md", 0, (kv_checkpoint._BODY, kv_checkpoint._CRC)),
        ("docs/formats/metadata.md", 0, (journal._HEADER, journal._U32)),
        ("docs/formats/metadata.md", 1, (journal._FRAME,)),
        ("docs/formats/metadata.md", 2, (checkpoint._BODY, checkpoint._CRC)),
    ],
    ids=lambda value: str(value) if isinstance(value, (str, int)) else "",
)
def test_a_table_is_the_structure(page: str, number: int, structures: tuple[struct.Struct, ...]) -> None:
    assert documented(page, number) == layout(*structures)


@pytest.mark.parametrize(
    ("magic", "structure"), [(0, log_batch._V0), (1, log_batch._V1), (2, log_batch._V2)], ids=["0", "1", "2"]
)
def test_the_header_of_log_batches(magic: int, structure: struct.Struct) -> None:
    rows = tables("docs/formats/log-batch.md")[0]
    column = rows[0].index(f"magic {magic}")
    fields = [(int(row[column]), int(row[1])) for row in rows[2:] if row[1].isdigit() and row[column]]
    assert fields == layout(structure)


def test_magic_numbers() -> None:
    for page, magic in (
        ("docs/formats/log-files.md", recovery_point._MAGIC),
        ("docs/formats/log-files.md", flush_checkpoint._MAGIC),
        ("docs/formats/log-files.md", leader_epochs._MAGIC),
        ("docs/formats/kv-files.md", kv_checkpoint._MAGIC),
        ("docs/formats/metadata.md", checkpoint._MAGIC),
    ):
        assert f"`{magic.decode()}`" in (ROOT / page).read_text()
