"""``fluss doctor``: checks a data directory of a stopped server, byte by byte, and changes nothing.

A *problem* is damage to what was durable, or something that a server would refuse to start with. A *note* is what a
crash leaves behind and the next start mends by itself, such as a batch that was being written.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fluss_server.cli.output import print_rows
from fluss_server.cli.output_format import OutputFormat
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.kv.checkpoint import read_checkpoint
from fluss_server.kv.committed_rows import STORE_DIRECTORY
from fluss_server.log.batch_reader import read_batches
from fluss_server.log.file_names import (
    LEADER_EPOCHS,
    LOG,
    OFFSET_INDEX,
    RECOVERY_POINT,
    TIME_INDEX,
    WRITER_SNAPSHOT,
    offsets_in,
    path_of,
)
from fluss_server.log.flush_checkpoint import FlushCheckpoint
from fluss_server.log.leader_epochs import decode_epochs
from fluss_server.log.offset_index import OffsetIndex
from fluss_server.log.recovery_point import RecoveryPoint
from fluss_server.log.time_index import TimeIndex
from fluss_server.log.writer_snapshot import decode_snapshot
from fluss_server.metadata.checkpoint import Coverage, read_with_checkpoint
from fluss_server.metadata.journal import JournalDamaged
from fluss_server.metadata.journal_file import JOURNAL_FILE, checkpoint_path
from fluss_server.runtime.system_disk import SystemDisk, SystemFile
from fluss_server.tablet.replica_directories import ORPHANED

_INDEX_LIMIT = 1 << 31
_DISK = SystemDisk()
_LOG_DIRECTORY = re.compile(r"log-\d+\Z")


@dataclass
class Finding:
    """What was found in one part of the directory.

    Attributes:
        what: path relative to the data directory.
        content: what there is, in words.
        problems: damage.
        notes: what the next start will mend.
    """

    what: str
    content: str = ""
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def state(self) -> str:
        return "damaged" if self.problems else "recoverable" if self.notes else "ok"


def doctor(parsed: argparse.Namespace) -> int:
    """``fluss doctor``: exit code 1 when there are problems."""
    directory: Path = parsed.data_dir
    lock = _DISK.lock(directory)
    if not directory.is_dir() or not any(map(Path.exists, _metadata_files(directory))):
        raise FlussError(
            ErrorCode.STORAGE_EXCEPTION, f"{directory} is not a data directory: there is no {JOURNAL_FILE} in it"
        )
    if not lock.acquire():
        raise FlussError(
            ErrorCode.STORAGE_EXCEPTION, f"a server uses {directory}", hint="stop it, or check a copy of the directory"
        )
    try:
        findings = list(check_data_directory(directory))
    finally:
        lock.release()
    rows = [(finding.what, finding.state, finding.content, _details(finding, parsed.output)) for finding in findings]
    print_rows(("part", "state", "content", "details"), rows, parsed.output)
    return 1 if any(finding.problems for finding in findings) else 0


def _metadata_files(directory: Path) -> tuple[Path, Path]:
    return directory / JOURNAL_FILE, Path(checkpoint_path(directory / JOURNAL_FILE))


def _details(finding: Finding, output: OutputFormat) -> Any:
    details = [*finding.problems, *finding.notes]
    return details if output is not OutputFormat.TABLE else "; ".join(details) or None


def check_data_directory(directory: Path) -> Iterator[Finding]:
    """Check everything below a data directory; one finding per part."""
    yield _check_metadata(directory)
    yield from _check_orphans(directory)
    # {database}/{table}-{id}/[{partition}-p{id}/]log-{bucket}
    candidates = [*directory.glob("*/*/log-*"), *directory.glob("*/*/*/log-*")]
    buckets = sorted(
        path
        for path in candidates
        if _LOG_DIRECTORY.match(path.name)
        and path.is_dir()
        and not any(end in str(path.relative_to(directory)) for end in (".deleted", ORPHANED))
    )
    for log_directory in buckets:
        finding, start, end = _check_log(directory, log_directory)
        yield finding
        kv_directory = log_directory.with_name(log_directory.name.replace("log-", "kv-", 1))
        if kv_directory.is_dir():
            yield _check_kv(directory, kv_directory, start, end)


def _check_metadata(directory: Path) -> Finding:
    finding = Finding(JOURNAL_FILE)
    journal, checkpoint = (path.read_bytes() if path.exists() else None for path in _metadata_files(directory))
    try:
        checked = read_with_checkpoint(journal, checkpoint)
    except JournalDamaged as error:
        finding.problems.append(f"{error}; {error.hint}")
        return finding
    transactions = sum(1 for changes in checked.contents.transactions if changes)
    finding.content = f"{transactions} transactions, {checked.contents.end + checked.torn_bytes} bytes"
    if checked.torn_bytes:
        finding.notes.append(f"{checked.torn_bytes} bytes of an unfinished transaction will be cut")
    if checked.coverage is not Coverage.EXACT:
        finding.notes.append(f"checkpoint: {checked.coverage.value}; the file will be written again")
    return finding


def _check_orphans(directory: Path) -> Iterator[Finding]:
    """Directories of tables and partitions that a start with repaired metadata did not know."""
    for path in sorted([*directory.glob(f"*/*{ORPHANED}*"), *directory.glob(f"*/*/*{ORPHANED}*")]):
        if path.is_dir():
            finding = Finding(str(path.relative_to(directory)), "data of a table or partition without metadata")
            finding.notes.append("no server uses it; remove it if it is not needed")
            yield finding


def _check_log(root: Path, directory: Path) -> tuple[Finding, int, int]:
    """The finding, the start offset and the end offset of the undamaged part."""
    finding = Finding(str(directory.relative_to(root)))
    bases = offsets_in(_DISK, directory, LOG)
    durable = FlushCheckpoint(directory, _DISK).read()
    if durable is None and any(Path(path_of(directory, base, LOG)).stat().st_size for base in bases):
        finding.notes.append("the flush checkpoint is missing or damaged: the next start checks all batches")
    point = RecoveryPoint.read(directory, _DISK)
    if point is None and (directory / RECOVERY_POINT).exists():
        finding.notes.append("the recovery point is damaged: all batches will be checked at the next start")
    epochs = directory / LEADER_EPOCHS
    if epochs.exists() and decode_epochs(_DISK.read_file(epochs)) is None:
        finding.problems.append(
            "the history of leader epochs is damaged: other replicas cannot be compared with this one"
        )
    expected = bases[0] if bases else 0
    batches = rows = size = 0
    for position, base in enumerate(bases):
        if base != expected:
            finding.problems.append(f"offsets {expected} to {base} are missing")
        checked = _check_segment(directory, base, finding, durable, is_last=position == len(bases) - 1)
        batches += checked.batches
        rows += checked.rows
        size += checked.size
        expected = checked.next_offset
    end = expected
    if durable is not None and durable > end:
        finding.problems.append(f"everything below offset {durable} was durable, but the log ends at {end}")
    for offset in offsets_in(_DISK, directory, WRITER_SNAPSHOT):
        if decode_snapshot(_DISK.read_file(path_of(directory, offset, WRITER_SNAPSHOT))) is None:
            finding.notes.append(f"writer snapshot {offset} is damaged; writer state will be read from the log")
    start = bases[0] if bases else 0
    finding.content = f"offsets {start} to {end}, {rows} rows in {batches} batches, {len(bases)} segments, {size} bytes"
    return finding, start, end


@dataclass
class _Segment:
    next_offset: int
    batches: int = 0
    rows: int = 0
    size: int = 0


def _check_segment(directory: Path, base: int, finding: Finding, durable: int | None, *, is_last: bool) -> _Segment:
    path = path_of(directory, base, LOG)
    file = SystemFile(path, read_only=True)
    size = file.size()
    segment = _Segment(base)
    starts: dict[int, tuple[int, int, int]] = {}
    newest = -1
    try:
        for position, header, _ in read_batches(file, 0, size):
            if header.base_offset != segment.next_offset:
                finding.problems.append(
                    f"{path.name}: offset {header.base_offset} at byte {position} instead of {segment.next_offset}"
                )
                break
            if header.commit_timestamp < newest:
                finding.problems.append(f"{path.name}: time goes backwards at byte {position}")
            newest = max(newest, header.commit_timestamp)
            starts[position] = (header.base_offset, header.last_offset, header.commit_timestamp)
            segment.next_offset = header.next_offset
            segment.batches += 1
            segment.rows += header.record_count
            segment.size = position + header.size
    except FlussError as error:
        # What lies after the durable offset was not acknowledged: a torn write, which recovery cuts.
        torn = is_last and durable is not None and segment.next_offset >= durable
        (finding.notes if torn else finding.problems).append(f"{path.name}: {error.message}")
    _check_indexes(directory, base, segment, starts, finding)
    return segment


def _check_indexes(
    directory: Path, base: int, segment: _Segment, starts: dict[int, tuple[int, int, int]], finding: Finding
) -> None:
    by_position = {position: last for position, (_, last, _) in starts.items()}
    first_offsets = {first: stamp for first, _, stamp in starts.values()}
    data = _index_data(Path(path_of(directory, base, OFFSET_INDEX)), OffsetIndex.ENTRY_BYTES)
    offsets = OffsetIndex(base, _INDEX_LIMIT)
    if data is not None:
        usable = offsets.load(data, segment.size, segment.next_offset) and all(
            by_position.get(position) == last for last, position in _offset_entries(data, base)
        )
        if not usable:
            finding.notes.append(
                f"the offset index of segment {base} does not match its segment; it will be built again"
            )
    data = _index_data(Path(path_of(directory, base, TIME_INDEX)), TimeIndex.ENTRY_BYTES)
    times = TimeIndex(base, _INDEX_LIMIT)
    if data is not None:
        usable = times.load(data, segment.next_offset) and all(
            first_offsets.get(offset) == stamp for stamp, offset in _time_entries(data, base)
        )
        if not usable:
            finding.notes.append(f"the time index of segment {base} does not match its segment; it will be built again")


def _index_data(path: Path, entry_bytes: int) -> bytes | None:
    """Whole entries of an index file; the last write of a crashed server may be torn."""
    if not path.exists():
        return None
    data = path.read_bytes()
    return data[: len(data) - len(data) % entry_bytes]


def _offset_entries(data: bytes, base: int) -> Iterable[tuple[int, int]]:
    for at in range(0, len(data), OffsetIndex.ENTRY_BYTES):
        yield base + int.from_bytes(data[at : at + 4], "big"), int.from_bytes(data[at + 4 : at + 8], "big")


def _time_entries(data: bytes, base: int) -> Iterable[tuple[int, int]]:
    for at in range(0, len(data), TimeIndex.ENTRY_BYTES):
        stamp = int.from_bytes(data[at : at + 8], "big", signed=True)
        yield stamp, base + int.from_bytes(data[at + 8 : at + 12], "big")


def _check_kv(root: Path, directory: Path, log_start: int, log_end: int) -> Finding:
    """Every block of a RocksDB, its checksums included, and whether the log can bring it up to date."""
    import rocksdict

    finding = Finding(str(directory.relative_to(root)))
    state = read_checkpoint(directory, SystemDisk())
    offset = 0 if state is None else state.offset
    if state is None and log_end > 0:
        finding.notes.append("no valid flushed state: the store will be built from the log")
    if offset < log_start:
        finding.problems.append(f"rows up to offset {offset} are stored, but the log begins at {log_start}")
    if offset > log_end:
        finding.problems.append(f"rows up to offset {offset} are stored, but the log ends at {log_end}")
    rows = 0
    database = directory / STORE_DIRECTORY
    try:
        if not database.is_dir():
            finding.content = "no database"
            return finding
        options = rocksdict.Options(raw_mode=True)
        options.create_if_missing(False)
        store = rocksdict.Rdict(str(database), options, access_type=rocksdict.AccessType.read_only())
        iterator = store.iter()
        iterator.seek_to_first()
        while iterator.valid():
            rows += 1
            iterator.next()
        iterator.status()
        del iterator
        store.close()
    except Exception as error:  # rocksdict raises bare Exception for every status
        # The log is whole from its first offset on: a store of a log that starts at 0 can always be built again.
        (finding.notes if log_start == 0 else finding.problems).append(f"RocksDB: {error}")
    finding.content = f"{rows} rows on disk, complete up to offset {offset}"
    return finding
