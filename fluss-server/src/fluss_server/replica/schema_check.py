"""Whether log batches match the schema of their table."""

from __future__ import annotations

from collections.abc import Callable

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.log_batch import crc_matches, has_more_batches, iter_batches
from fluss_server.formats.row_validation import Validator, validator_of
from fluss_server.model.schema import Schema
from fluss_server.model.table import TableInfo

MAX_APPEND_BATCHES = 1_000
"""Batches of one bucket in a request; clients send one. Each costs the event loop some microseconds."""


class SchemaCheck:
    """Checks the batches that clients append to one bucket.

    Args:
        table: of the bucket.
        schemas: schema of a schema id; raises ``SCHEMA_NOT_EXIST`` for an unknown one.
    """

    def __init__(self, table: TableInfo, schemas: Callable[[int], Schema]) -> None:
        self._schemas = schemas
        self._validators = {table.schema_id: validator_of(table.schema.types, table.log_format)}

    def check(self, records: memoryview, table: TableInfo) -> None:
        """Refuse batches that no reader could decode, and too many of them."""
        if has_more_batches(records, MAX_APPEND_BATCHES):
            raise FlussError(
                ErrorCode.RECORD_TOO_LARGE_EXCEPTION,
                f"more than {MAX_APPEND_BATCHES} batches for one bucket in a request",
                hint="write fewer and larger batches",
            )
        for position, header in iter_batches(records):
            batch = records[position : position + header.size]
            try:
                validator = self._validators.get(header.schema_id) or self._validator_of(header.schema_id, table)
                validator.check(batch, header)
            except FlussError as error:
                # A batch damaged on the way may look like anything: then the log says so, and its writer sends it
                # again.
                if crc_matches(records, position, header):
                    raise not_again(error) from None

    def _validator_of(self, schema_id: int, table: TableInfo) -> Validator:
        """The validator of batches of an older schema; writers that have not heard of a newer one go on with it."""
        if not 0 < schema_id <= table.schema_id:
            raise FlussError(
                ErrorCode.SCHEMA_NOT_EXIST,
                f"{table.path} has no schema {schema_id}; the newest is {table.schema_id}",
            )
        validator = self._validators[schema_id] = validator_of(self._schemas(schema_id).types, table.log_format)
        return validator


def not_again(error: FlussError) -> FlussError:
    """The error for a batch that arrived as its writer made it, and does not match the schema of the table.

    Clients repeat a batch whose response is CORRUPT_RECORD, without end: see docs/decisions/0003.
    """
    if error.code is not ErrorCode.CORRUPT_RECORD_EXCEPTION:
        return error
    return FlussError(
        ErrorCode.INVALID_TABLE_EXCEPTION,
        f"rows do not match the schema of the table: {error.message}",
        hint=error.hint,
    )
