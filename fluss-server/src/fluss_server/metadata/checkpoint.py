"""The checkpoint of the metadata journal: which transactions are known to be durable. Pure.

The journal alone cannot tell a torn last transaction, which nobody was told is stored, from damage to an acknowledged
one. The checkpoint can: it is written and synced after the journal was, and before the transaction is acknowledged.

File ``metadata.checkpoint`` beside the journal, 20 bytes, little-endian; overwritten in place, and replaced as a whole
after the journal was:

======  ====  ======================================================
offset  size  field
======  ====  ======================================================
0       8     ``FlussMC1``
8       8     transactions with smaller ids are durable, uint64
16      4     CRC-32C of bytes 0 to 15
======  ====  ======================================================

A crash may leave one of these:

- a journal that ends in a torn transaction, which the checkpoint does not cover;
- a journal with one whole transaction more than the checkpoint covers;
- a whole journal beside a checkpoint that is torn, or missing because the journal is new.

Everything else is damage, or a file that was exchanged: see :func:`read_with_checkpoint`.
"""

from __future__ import annotations

import enum
import struct
from typing import NamedTuple

from fluss_server.formats.crc import crc32c
from fluss_server.metadata.journal import Contents, JournalDamaged, read_file

CHECKPOINT_SUFFIX = ".checkpoint"

_MAGIC = b"FlussMC1"
_BODY = struct.Struct("<8sQ")
_CRC = struct.Struct("<I")


def encode_checkpoint(next_id: int) -> bytes:
    """The file that says that all transactions before ``next_id`` are durable."""
    body = _BODY.pack(_MAGIC, next_id)
    return body + _CRC.pack(crc32c(body))


def decode_checkpoint(data: bytes) -> int | None:
    """The id of the first transaction that may not be durable; None if the file is damaged."""
    if len(data) != _BODY.size + _CRC.size or _CRC.unpack_from(data, _BODY.size)[0] != crc32c(data[: _BODY.size]):
        return None
    magic, next_id = _BODY.unpack_from(data)
    return int(next_id) if magic == _MAGIC else None


class Coverage(enum.Enum):
    """How a checkpoint relates to its journal."""

    EXACT = "it covers exactly the journal"
    BEHIND = "the journal has transactions after it"
    MISSING = "it is missing"
    DAMAGED = "it is damaged"


class CheckedJournal(NamedTuple):
    """A journal that was compared with its checkpoint.

    Attributes:
        contents: of the journal.
        coverage: what the checkpoint covers.
        torn_bytes: bytes after the last good transaction.
    """

    contents: Contents
    coverage: Coverage
    torn_bytes: int

    @property
    def is_proven(self) -> bool:
        """Whether nothing can be missing: the checkpoint covers exactly this journal, and nothing follows."""
        return self.coverage is Coverage.EXACT and not self.torn_bytes


def read_with_checkpoint(journal: bytes | None, checkpoint: bytes | None) -> CheckedJournal:
    """Read a journal and find out whether a durable transaction is damaged or missing.

    Args:
        journal: content of the file; None = there is no such file.
        checkpoint: likewise.

    Raises:
        JournalDamaged: it is, or nobody can tell.
    """
    if journal is None:
        raise JournalDamaged(
            "it is missing, but its checkpoint is there",
            hint="restore it from a copy; to begin without any tables, move the rest of the data directory away, too",
        )
    durable_id = None if checkpoint is None else decode_checkpoint(checkpoint)
    contents = read_file(journal)
    torn_bytes = len(journal) - contents.end
    if durable_id is None:
        if checkpoint is None:
            return CheckedJournal(contents, Coverage.MISSING, torn_bytes)
        if torn_bytes:
            raise JournalDamaged(f"bad bytes at {contents.end}, and its checkpoint is damaged, too")
        return CheckedJournal(contents, Coverage.DAMAGED, 0)
    if contents.next_id < durable_id:
        missing = f"transactions {contents.next_id} to {durable_id - 1} were durable"
        if torn_bytes:
            raise JournalDamaged(f"bad bytes at {contents.end}, but {missing}")
        raise JournalDamaged(
            f"it ends at byte {contents.end}, but {missing}: bytes are lost, or it is an older copy",
            hint="restore the newest copy; to go on with this one and without the changes that it lacks, "
            "remove its checkpoint file",
        )
    coverage = Coverage.EXACT if contents.next_id == durable_id else Coverage.BEHIND
    return CheckedJournal(contents, coverage, torn_bytes)
