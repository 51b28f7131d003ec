"""``fluss tail``: the end of a log, its rows from an offset or a time on, and what is written from now on."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence

from fluss_server.cli.failures import CommandError, UsageError
from fluss_server.cli.json_values import parse_timestamp
from fluss_server.cli.log_printer import LogPrinter
from fluss_server.cli.output import note
from fluss_server.cli.selection import chosen_buckets, chosen_columns
from fluss_server.cli.session import Session
from fluss_server.cli.table_reader import (
    EARLIEST,
    LATEST,
    TIMESTAMP,
    Bucket,
    LogPage,
    LogReader,
    bucket_offsets,
    last_rows,
    read_log,
)
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.table import TableInfo

DEFAULT_ROWS = 10
_WAIT_MS = 500
_FIRST_DELAY_S, _MAX_DELAY_S = 0.2, 5.0
_GIVE_UP_AFTER_S = 600.0
"""So long an unreachable server is tried again."""
_PARTITIONS_INTERVAL_S = 2.0


def tail(session: Session, parsed: argparse.Namespace) -> None:
    """``fluss tail``"""
    table = session.table(parsed.table)
    printer = LogPrinter(table, chosen_columns(table, parsed.columns), parsed.output)
    buckets = chosen_buckets(session, table, parsed)
    earliest = bucket_offsets(session, table, buckets, EARLIEST)
    ends = bucket_offsets(session, table, buckets, LATEST)
    try:
        if parsed.start is None:
            for page in last_rows(session, table, earliest, ends, parsed.limit or DEFAULT_ROWS):
                printer(page)
            left: int | None = None
        else:
            starts = _start_offsets(session, table, parsed.start, earliest, ends)
            left = _print_from(session, table, starts, ends, printer, parsed.limit)
        if parsed.follow and left != 0:
            _Follower(session, table, parsed, ends).run(printer, left)
    except KeyboardInterrupt:
        if not parsed.follow:  # where Ctrl-C is the usual end
            raise
    printer.close()


def _print_from(
    session: Session,
    table: TableInfo,
    starts: Mapping[Bucket, int],
    ends: Mapping[Bucket, int],
    printer: LogPrinter,
    limit: int | None,
) -> int | None:
    """Print rows from the starts on; returns how many may still follow, None = any number."""
    left = limit
    for page in read_log(session, table, starts, ends):
        page = page if left is None else page.first(left)
        printer(page)
        if left is not None:
            left -= page.rows.num_rows
            if not left:
                return 0
    return left


def _start_offsets(
    session: Session, table: TableInfo, start: str, earliest: Mapping[Bucket, int], ends: Mapping[Bucket, int]
) -> Mapping[Bucket, int]:
    if start == "earliest":
        return earliest
    if start == "latest":
        return ends
    if start.isdecimal():
        return _at_offset(table, int(start), earliest, ends)
    try:
        milliseconds = parse_timestamp(start)[0]
    except ValueError:
        raise UsageError(
            f"cannot start at {start!r}", hint="use earliest, latest, an offset, or a UTC time: 2026-05-31T12:00:00"
        ) from None
    starts = bucket_offsets(session, table, list(ends), TIMESTAMP, milliseconds)
    if all(starts[key] >= end for key, end in ends.items()):
        note(f"{table.path} has no rows written at or after {start}")
    return starts


def _at_offset(
    table: TableInfo, offset: int, earliest: Mapping[Bucket, int], ends: Mapping[Bucket, int]
) -> Mapping[Bucket, int]:
    """An offset counts in one bucket; in another it is some other row."""
    if len(ends) != 1:
        raise UsageError(
            f"{table.path} has several buckets, each with its own offsets",
            hint="choose one with --bucket" + (" and --partition" if table.is_partitioned else ""),
        )
    ((key, end),) = ends.items()
    if offset > end:
        raise FlussError(
            ErrorCode.LOG_OFFSET_OUT_OF_RANGE_EXCEPTION,
            f"offset {offset} is beyond the end of bucket {key[1]} of {table.path}",
            hint=f"its rows have the offsets {earliest[key]} to {end - 1}" if end > earliest[key] else "it has no rows",
        )
    if offset < earliest[key]:
        note(f"rows before offset {earliest[key]} are deleted; starting there")
    elif offset == end:
        note(f"offset {offset} is the next one to be written; there is no row yet")
    return {key: max(offset, earliest[key])}


class _Follower:
    """Prints what is written from given offsets on, also to new partitions, and through restarts of the server."""

    def __init__(
        self, session: Session, table: TableInfo, parsed: argparse.Namespace, positions: Mapping[Bucket, int]
    ) -> None:
        self._session = session
        self._table = table
        self._parsed = parsed
        self._reader = LogReader(session, table, positions)
        self._partitions_checked = time.monotonic()

    def run(self, print_page: Callable[[LogPage], None], left: int | None) -> None:
        """Print rows until ``left`` are printed; without a number, for good.

        Raises:
            FlussError: the table is gone, or the server was not reached for ten minutes.
            CommandError: another table has the name now.
        """
        while left != 0:
            for page in self._poll():
                page = page if left is None else page.first(left)
                if page.rows.num_rows:
                    print_page(page)
                if left is not None:
                    left -= page.rows.num_rows

    def _poll(self) -> Sequence[LogPage]:
        """Rows; an unreachable server is tried again, first soon, then every five seconds."""
        started, delay_s = None, _FIRST_DELAY_S
        while True:
            try:
                if started is not None:
                    self._check_table()
                self._find_partitions()
                if not self._reader.positions:
                    time.sleep(_WAIT_MS / 1000)
                pages = self._reader.poll(_WAIT_MS)
            except FlussError as error:
                now = time.monotonic()
                if not error.retriable or (started is not None and now - started > _GIVE_UP_AFTER_S):
                    raise
                if started is None:
                    started = now
                    note(f"{error.message}; trying again for {_GIVE_UP_AFTER_S / 60:.0f} minutes")
                time.sleep(delay_s)
                delay_s = min(delay_s * 2, _MAX_DELAY_S)
            else:
                if started is not None:
                    note("the server is back")
                return pages

    def _check_table(self) -> None:
        if self._session.table(str(self._table.path)).table_id != self._table.table_id:
            raise CommandError(f"{self._table.path} was dropped, and another table has its name now")

    def _find_partitions(self) -> None:
        if not self._table.is_partitioned or time.monotonic() - self._partitions_checked < _PARTITIONS_INTERVAL_S:
            return
        self._partitions_checked = time.monotonic()
        try:
            buckets = chosen_buckets(self._session, self._table, self._parsed)
        except CommandError:  # the last chosen partition was dropped
            buckets = []
        positions = self._reader.positions
        added = bucket_offsets(self._session, self._table, [key for key in buckets if key not in positions], EARLIEST)
        self._reader.positions = {key: positions[key] if key in positions else added[key] for key in buckets}
