"""The metadata journal on a disk, with its checkpoint: opening, appending, rewriting."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable
from pathlib import PurePath
from typing import NamedTuple

from fluss_server.metadata.checkpoint import (
    CHECKPOINT_SUFFIX,
    CheckedJournal,
    Coverage,
    encode_checkpoint,
    read_with_checkpoint,
)
from fluss_server.metadata.journal import Changes, JournalDamaged, encode_file, encode_transaction
from fluss_server.metadata.store import MetadataConflict, Node
from fluss_server.metadata.tree import Plan, Tree
from fluss_server.runtime.disk import Disk, DiskFile

logger = logging.getLogger(__name__)

JOURNAL_FILE = "metadata.journal"
"""Name of the journal in a data directory."""

_PRIVATE = 0o600  # settings that were changed while the server ran hold passwords


class Recovery(NamedTuple):
    """What opening the journal found.

    Attributes:
        created: there was no file; this store is new.
        nodes: nodes read.
        transactions: transactions read, empty ones not counted.
        cut_bytes: length of the torn tail that was removed.
        proven: nothing was cut or repaired: every change that was ever acknowledged is there.
    """

    created: bool
    nodes: int
    transactions: int
    cut_bytes: int
    proven: bool


class JournalFile:
    """The journal and its checkpoint. All methods block, and raise ``OSError``; one thread at a time.

    After a failed sync nobody knows what is on disk, and the kernel treats what it could not write as written. The next
    append then writes the whole journal again, into a new file, before it does anything else.
    """

    def __init__(self, path: PurePath, disk: Disk, next_id: int) -> None:
        """Use :meth:`open`."""
        self.path = path
        self._disk = disk
        self._checkpoint_path = checkpoint_path(path)
        self._checkpoint: DiskFile | None = None
        self._file: DiskFile | None = None
        self._next_id = next_id
        self._must_rewrite = False
        self.size = 0

    @classmethod
    def open(cls, path: PurePath, disk: Disk) -> tuple[JournalFile, Tree, Recovery]:
        """Open the journal at ``path``, creating it and its directory if there is none.

        Raises:
            JournalDamaged: a durable transaction is damaged or missing; nothing was changed.
        """
        disk.make_directories(path.parent)
        disk.remove(_temporary(path), missing_ok=True)  # a rewrite that did not finish
        journal, checkpoint = _content(disk, path), _content(disk, checkpoint_path(path))
        if journal is None and checkpoint is None:
            opened = cls(path, disk, 1)
            opened.rewrite(())
            return opened, Tree(), Recovery(True, 0, 0, 0, proven=True)
        checked = read_with_checkpoint(journal, checkpoint)
        tree = _tree_of(checked)
        contents = checked.contents
        opened = cls(path, disk, contents.next_id)
        if checked.coverage is Coverage.EXACT:
            opened._open(contents.end)
            if checked.torn_bytes:
                opened._cut(checked.torn_bytes)
        else:
            # What was read may be in the page cache only: a sync that failed, or a server that died before it.
            logger.warning("the checkpoint of %s: %s; the journal is written again", path, checked.coverage.value)
            if checked.torn_bytes:
                _keep_copy(disk, path, journal or b"", checked.torn_bytes)
            opened.rewrite(tree.persistent())
        transactions = sum(1 for changes in contents.transactions if changes)
        return opened, tree, Recovery(False, len(tree), transactions, checked.torn_bytes, checked.is_proven)

    def _cut(self, torn_bytes: int) -> None:
        assert self._file is not None, "_open() opens it"
        logger.warning(
            "%s: cut %d bytes of a transaction that was being written when the server ended", self.path, torn_bytes
        )
        self._file.truncate(self.size)
        self._file.sync()

    def append(self, changes: Changes, nodes: Callable[[], Iterable[tuple[str, Node]]]) -> None:
        """Append one transaction, durably.

        Args:
            changes: of the transaction.
            nodes: gives everything that is acknowledged, parents first, for the case that the file must be rewritten.

        Raises:
            OSError: the transaction is not acknowledged; a crash may still bring it back.
            ValueError: it is too large.
        """
        if self._must_rewrite:
            self.rewrite(nodes())
        assert self._file is not None, "_open() opens it"
        assert self._checkpoint is not None, "_open() opens it"
        frame = encode_transaction(self._next_id, changes)
        try:
            self._file.write([frame], self.size)
        except OSError:
            try:
                self._file.truncate(self.size)
            except OSError:
                self._must_rewrite = True
            raise
        try:
            self._file.sync()
            self._checkpoint.write([encode_checkpoint(self._next_id + 1)], 0)
            self._checkpoint.sync()
        except OSError:
            self._must_rewrite = True
            raise
        self.size += len(frame)
        self._next_id += 1

    def rewrite(self, nodes: Iterable[tuple[str, Node]]) -> None:
        """Replace the file by one that holds ``nodes``, parents first.

        Raises:
            OSError: as long as the new file is not in place, the old one is used further.
        """
        data, next_id = encode_file(nodes, self._next_id)
        temporary = _temporary(self.path)
        try:
            _write(self._disk, temporary, data)
        except OSError:
            with contextlib.suppress(OSError):
                self._disk.remove(temporary, missing_ok=True)
            raise
        # From here on a failure leaves unknown which of the two files a loss of power would bring back.
        self._must_rewrite = True
        self._next_id = next_id
        self._disk.rename(temporary, self.path)
        self._disk.sync_directory(self.path.parent)
        self._disk.replace_file(self._checkpoint_path, encode_checkpoint(next_id), mode=_PRIVATE)
        self.close()
        self._open(len(data))
        self._must_rewrite = False

    def close(self) -> None:
        """Close the files."""
        for file in (self._file, self._checkpoint):
            if file is not None:
                file.close()

    def _open(self, size: int) -> None:
        self._file = self._disk.open(self.path)
        self._checkpoint = self._disk.open(self._checkpoint_path)
        self.size = size


def checkpoint_path(path: PurePath) -> PurePath:
    """Where the checkpoint of the journal at ``path`` is."""
    return path.with_suffix(CHECKPOINT_SUFFIX)


def _temporary(path: PurePath) -> PurePath:
    return path.with_name(path.name + ".tmp")


def _write(disk: Disk, path: PurePath, data: bytes) -> None:
    file = disk.open(path, create=True, mode=_PRIVATE)
    try:
        file.truncate(0)
        file.write([data], 0)
        file.sync()
    finally:
        file.close()


def _content(disk: Disk, path: PurePath) -> bytes | None:
    try:
        return disk.read_file(path)
    except FileNotFoundError:
        return None


def _tree_of(checked: CheckedJournal) -> Tree:
    tree = Tree()
    for position, changes in enumerate(checked.contents.transactions):
        try:
            tree.apply(Plan([], dict(changes), []))
        except (KeyError, MetadataConflict) as error:
            raise JournalDamaged(f"transaction number {position} contradicts the ones before: {error}") from None
    return tree


def _keep_copy(disk: Disk, path: PurePath, journal: bytes, torn_bytes: int) -> None:
    """Keep a file whose end cannot be read, because without a checkpoint nobody knows whether it was acknowledged."""
    copy = path.with_name(path.name + ".cut")
    disk.replace_file(copy, journal, mode=_PRIVATE)
    logger.error(
        "%s: its last %d bytes are not a whole transaction and are left out; without a checkpoint nobody can tell "
        "whether they were acknowledged. The old file is kept as %s; remove it when nothing is missing",
        path,
        torn_bytes,
        copy.name,
    )
