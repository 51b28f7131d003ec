"""Whether a batch of rows (log formats INDEXED and COMPACTED) matches the schema of its table; see also
:mod:`batch_validation`.

Every record is split into its fields, whose values are not looked at. That costs some microseconds per row.
"""

from __future__ import annotations

from typing import Protocol

from fluss_server.formats.batch_validation import BatchValidator, violation
from fluss_server.formats.buffer import Buffer
from fluss_server.formats.log_batch import BatchHeader
from fluss_server.formats.row_codec import row_codec
from fluss_server.formats.row_log import decode_row_batch
from fluss_server.model.table import KvFormat, LogFormat
from fluss_server.model.types import DataType


class Validator(Protocol):
    """What the batches of a table must look like."""

    def check(self, batch: Buffer, header: BatchHeader) -> None:
        """``CORRUPT_RECORD_EXCEPTION`` with the reason unless the batch matches; its CRC is checked elsewhere."""


def validator_of(types: tuple[DataType, ...], log_format: LogFormat) -> Validator:
    """The validator of the batches of a table with these columns and ``table.log.format``."""
    return BatchValidator(types) if log_format is LogFormat.ARROW else RowValidator(types, KvFormat(log_format.value))


class RowValidator:
    """Validates the batches of a table.

    Args:
        types: column types in order.
        row_format: of the rows.
    """

    def __init__(self, types: tuple[DataType, ...], row_format: KvFormat) -> None:
        self._codec = row_codec(types, row_format)
        self._not_null = [index for index, data_type in enumerate(types) if not data_type.nullable]

    def check(self, batch: Buffer, header: BatchHeader) -> None:
        """See :class:`Validator`."""
        change_types, rows = decode_row_batch(batch, header)
        if header.append_only and any(change_types):
            raise violation("a record has a change type, but the batch only appends")
        split = self._codec.split
        for number, row in enumerate(rows):
            fields = split(row)
            for index in self._not_null:
                if fields[index] is None:
                    raise violation(f"column {index} of record {number} is null, and may not be")
