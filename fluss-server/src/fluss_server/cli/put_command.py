"""``fluss put``: load a file of rows, and tell which of them are in the table."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from fluss_server.cli.failures import CommandError, InputError
from fluss_server.cli.input_batches import BadRow, InputBatch
from fluss_server.cli.input_files import InputFile, format_of, json_lines
from fluss_server.cli.output import counted, note
from fluss_server.cli.session import Session
from fluss_server.cli.table_writer import TableWriter, WriteFailure, take
from fluss_server.errors import FlussError
from fluss_server.model.table import TableInfo

_MAX_REJECTED_FILES = 1_000
_MAX_SHOWN = 5
"""So many refused rows are shown on the terminal; all of them are in the file."""


def put(session: Session, parsed: argparse.Namespace) -> None:
    """``fluss put``"""
    file_format = parsed.format or ("jsonl" if parsed.file == "-" else format_of(parsed.file))
    table = session.table(parsed.table)
    with _progress(parsed.file) as progress:
        file = InputFile(parsed.file, file_format, table.schema, parsed.delimiter, progress)
        with contextlib.closing(_Rejected(file, parsed.rejected)) as rejected:
            _Load(session, table, file, rejected, stop=parsed.on_error == "stop", skip_rows=parsed.skip_rows).run()


class _Load:
    """One run of the command.

    Args:
        rejected: where refused rows go.
        stop: end with the first refused row; else leave it out and go on.
        skip_rows: rows at the beginning that are left out.
    """

    def __init__(
        self, session: Session, table: TableInfo, file: InputFile, rejected: _Rejected, *, stop: bool, skip_rows: int
    ) -> None:
        self._table = table
        self._file = file
        self._writer = TableWriter(session, table)
        self._rejected = rejected
        self._stop = stop
        self._skip_rows = skip_rows
        self._written = 0
        self._done = skip_rows  # every row of the file up to this one is in, refused or skipped

    def run(self) -> None:
        started = time.monotonic()
        try:
            for batch in self._file.batches(skip_rows=self._skip_rows, stop_at_bad=self._stop):
                self._write(batch)
        except InputError as error:
            raise InputError(error.message, hint="; ".join(filter(None, [self._state(), error.hint]))) from None
        except KeyboardInterrupt:
            note(f"interrupted: {self._state()}; whether the rows of the next batch are in is not known")
            raise
        seconds = time.monotonic() - started
        verb = "upserted into" if self._table.has_primary_key else "appended to"
        speed = f", {self._written / seconds:,.0f} rows/s" if self._written >= 10_000 else ""
        note(f"{counted(self._written, 'row')} {verb} {self._table.path}{speed}")
        if self._rejected.count:
            note(f"{counted(self._rejected.count, 'row')} refused, kept in {self._rejected.path}")

    def _write(self, batch: InputBatch) -> None:
        try:
            self._writer.write(batch.rows)
        except WriteFailure as failure:
            self._written += batch.rows.num_rows - len(failure.missing) - len(failure.unknown)
            raise FlussError(failure.error.code, failure.error.message, hint=self._rest(batch, failure)) from None
        self._written += batch.rows.num_rows
        if batch.bad and self._stop:
            self._done = batch.bad[0].number - 1
            raise InputError(batch.bad[0].reason)
        self._rejected.bad_rows(batch.bad)
        self._done = batch.last

    def _state(self) -> str:
        if not self._done:
            return "no row was written"
        refused = f", except {self._rejected.count} in {self._rejected.path}" if self._rejected.count else ""
        rows = "row is" if self._done == 1 else f"{self._done} rows are"
        return f"the first {rows} in{refused}; go on with --skip-rows {self._done}"

    def _rest(self, batch: InputBatch, failure: WriteFailure) -> str:
        """What to do after a batch was not written as a whole."""
        whole = len(failure.missing) == batch.rows.num_rows and not batch.bad
        if whole or self._table.has_primary_key:  # upserting rows a second time changes nothing
            return "; ".join(filter(None, [self._state(), failure.error.hint]))
        self._rejected.bad_rows(batch.bad)
        self._rejected.rows(batch, failure.missing)
        self._done = batch.last
        parts = [self._state()]
        if failure.unknown:
            numbers = [batch.numbers[index] for index in failure.unknown]
            count = f"{counted(len(numbers), 'row')} between {numbers[0]} and {numbers[-1]}"
            parts.append(f"whether {count} are in is not known: look with fluss tail before you put them again")
        return "; ".join(filter(None, [*parts, failure.error.hint]))


class _Rejected:
    """The file of refused rows: made with the first of them, in the format of the input (JSON lines for Parquet).

    Args:
        source: the input.
        path: None = a new file in the working directory, named after the input.
    """

    def __init__(self, source: InputFile, path: Path | None) -> None:
        self._source = source
        self.path = path
        self.count = 0
        self._file: BinaryIO | None = None

    def bad_rows(self, rows: Iterable[BadRow]) -> None:
        """Keep rows that are not valid, and tell why."""
        for row in rows:
            self._line(row.text)
            if self.count <= _MAX_SHOWN:
                note(f"refused: {row.reason}")
            elif self.count == _MAX_SHOWN + 1:
                note(f"refused: further rows, see {self.path}")

    def rows(self, batch: InputBatch, indexes: Sequence[int]) -> None:
        """Keep rows of a batch that the server refused."""
        if batch.texts:
            for index in indexes:
                self._line(batch.texts[index])
        elif indexes:
            for text in json_lines(take(batch.rows, indexes), self._source.schema):
                self._line(text)

    def _line(self, text: bytes) -> None:
        if self._file is None:
            self._open()
        assert self._file is not None
        self._file.write(text + b"\n")
        self._file.flush()
        self.count += 1

    def _open(self) -> None:
        try:
            self._file = self._new_file() if self.path is None else self.path.open("wb")
        except OSError as error:
            raise CommandError(f"cannot write the refused rows: {error}") from None
        if self._source.header:
            self._file.write(self._source.header + b"\n")

    def _new_file(self) -> BinaryIO:
        name = Path("stdin" if self._source.path == "-" else os.path.basename(self._source.path))
        stem = name.with_suffix("") if name.suffix.lower() == ".gz" else name
        suffix = "jsonl" if self._source.file_format == "parquet" else self._source.file_format
        for number in range(1, _MAX_REJECTED_FILES):
            self.path = Path(f"{stem.stem}.rejected{'' if number == 1 else f'-{number}'}.{suffix}")
            with contextlib.suppress(FileExistsError):
                return open(self.path, "xb")
        raise CommandError(
            f"there are {_MAX_REJECTED_FILES} files such as {self.path}", hint="name one with --rejected"
        )

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


@contextlib.contextmanager
def _progress(path: str) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error, if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda read: None
        return
    from tqdm import tqdm

    total = os.path.getsize(path) if path != "-" and os.path.exists(path) else None
    with tqdm(total=total, unit="B", unit_scale=True, unit_divisor=1024, desc=os.path.basename(path)) as bar:
        yield lambda read: bar.update(max(read - bar.n, 0))
