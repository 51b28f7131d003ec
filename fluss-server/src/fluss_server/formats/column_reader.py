"""Many encoded rows read column by column with numpy.

The rows lie end to end in one array; each row has a position, and reading a column moves all positions at once. A null
reads from the zero bytes after the rows, so that it needs no code of its own. Positions never pass the end of their
row: each column checks that before the bytes of the next one are touched, and the zero bytes after the rows are longer
than any number.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.arrow_arrays import (
    DECIMAL_WIDTH,
    Column,
    Mask,
    array_from_buffers,
    array_from_numbers,
    array_from_timestamps,
    check_fixed_size,
)
from fluss_server.formats.arrow_types import arrow_type
from fluss_server.formats.arrow_values import to_arrow
from fluss_server.formats.compacted_row import image_codec as compacted_image_codec
from fluss_server.formats.indexed_row import fixed_image_width
from fluss_server.formats.indexed_row import image_codec as indexed_image_codec
from fluss_server.formats.scalars import (
    MAX_DECIMAL_BYTES,
    MAX_NANO_OF_MILLISECOND,
    TIMESTAMP_ROOTS,
    corrupt_row,
    decode_text,
    fixed_width,
)
from fluss_server.formats.slots import ImageCodec
from fluss_server.model.table import KvFormat
from fluss_server.model.types import DataType, TypeRoot

_PADDING = bytes(32)
_MAX_BLOCK_BYTES = 2**31 - 1  # Arrow's offsets of text and bytes are int32
_VARINT32_BYTES = 5
_VARINT64_BYTES = 10
_WORD = 8
_CONTINUE = np.uint64(0x8080808080808080)
_LOWEST = np.uint64(0x0101010101010101)
_ONE = np.uint64(1)
_INT32 = np.dtype("<i4")


def column_reader(rows: Sequence[bytes], types: Sequence[DataType], kv_format: KvFormat, skip: int = 0) -> ColumnReader:
    """Reader of one or more rows of one format, each behind ``skip`` bytes that are not part of it.

    Raises:
        FlussError: ``CORRUPT_RECORD_EXCEPTION`` if a row is shorter than its header, ``RECORD_TOO_LARGE_EXCEPTION`` for
            2 GiB of rows and more.
    """
    if kv_format is KvFormat.INDEXED:
        return _IndexedReader(rows, types, skip)
    return _CompactedReader(rows, types, skip)


class ColumnReader(ABC):
    """Rows of which each column is read once, in order; the two row formats are its subclasses."""

    _pads_chars = False  # whether CHAR values carry zero bytes that are not theirs

    def __init__(self, rows: Sequence[bytes], types: Sequence[DataType], header_size: int, skip: int) -> None:
        self._types = types
        self._count = len(rows)
        lengths = np.fromiter(map(len, rows), np.int64, self._count)
        self._ends = lengths.cumsum()
        self._starts = self._ends - lengths + skip
        if int(lengths.min()) < header_size + skip:
            raise corrupt_row(f"{int(lengths.min()) - skip} bytes, its header takes {header_size}")
        self._padding_at = int(self._ends[-1])
        if self._padding_at > _MAX_BLOCK_BYTES:
            raise FlussError(ErrorCode.RECORD_TOO_LARGE_EXCEPTION, f"{self._padding_at} bytes of rows in one batch")
        self._bytes = b"".join((*rows, _PADDING))
        self._data = np.frombuffer(self._bytes, np.uint8)
        self._positions = self._starts + header_size
        self._null_bytes: Column = self._data[:0]
        self._any_null = 0

    def read(self, index: int) -> pa.Array:
        """Column ``index``; columns are read in order, from 0.

        Raises:
            FlussError: ``CORRUPT_RECORD_EXCEPTION`` if a row ends inside it, or a value does not match its type.
        """
        data_type = self._types[index]
        nulls = self._nulls(index)
        fixed = fixed_width(data_type)
        if fixed is not None:
            return array_from_numbers(self._numbers(fixed.code, nulls), data_type, nulls)
        if data_type.root in TIMESTAMP_ROOTS:
            milliseconds, nanoseconds = self._timestamps(nulls)
            if not 0 <= int(nanoseconds.min()) <= int(nanoseconds.max()) <= MAX_NANO_OF_MILLISECOND:
                raise corrupt_row("nanoseconds of a millisecond must be 0 to 999999")
            return array_from_timestamps(milliseconds, nanoseconds, data_type, nulls)
        starts, lengths = self._items(data_type, nulls)
        if data_type.root is TypeRoot.CHAR and self._pads_chars:
            images = self._images(starts, lengths, nulls)
            return to_arrow(
                [None if image is None else decode_text(image.rstrip(b"\0")) for image in images], data_type
            )
        if data_type.root in (TypeRoot.CHAR, TypeRoot.STRING, TypeRoot.BYTES):
            return self._variable_array(data_type, starts, lengths, nulls)
        if data_type.root is TypeRoot.BINARY:
            return self._binary_array(data_type, starts, lengths, nulls)
        if data_type.root is TypeRoot.DECIMAL:
            return self._decimal_array(data_type, starts, lengths, nulls)
        codec = self._image_codec(data_type)
        images = self._images(starts, lengths, nulls)
        return to_arrow([None if image is None else codec.decode(image) for image in images], data_type)

    def boundaries(self) -> list[Column]:
        """Where each column starts in every row, and where the last one ends; instead of reading columns.

        Raises:
            FlussError: ``CORRUPT_RECORD_EXCEPTION`` if the columns do not fill the rows exactly.
        """
        places = [self._positions]
        for index, data_type in enumerate(self._types):
            nulls = self._nulls(index)
            fixed = fixed_width(data_type)
            if fixed is not None:
                self._numbers(fixed.code, nulls)
            elif data_type.root in TIMESTAMP_ROOTS:
                self._timestamps(nulls)
            else:
                self._items(data_type, nulls)
            places.append(self._positions)
        self.finish()
        return places

    def slices(self, starts: Column, ends: Column) -> pa.Array:
        """Some bytes of each row, which follow each other, as a binary array."""
        # The rows, seen as an array of bytes that alternates between the items and what lies between them; picking
        # every second element makes Arrow copy the items to one buffer.
        offsets = np.empty(2 * self._count + 1, _INT32)
        offsets[0:-1:2] = starts
        offsets[1::2] = ends
        offsets[-1] = self._padding_at
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(self._bytes)]
        alternating = pa.Array.from_buffers(pa.binary(), 2 * self._count, buffers, 0)
        return alternating.take(pa.array(np.arange(0, 2 * self._count, 2, dtype=np.int32)))

    def null_bits(self, size: int) -> Column:
        """The null bits of each row, an array of ``size`` bytes per row."""
        return self._data.take(self._starts[:, None] + np.arange(size))

    def finish(self) -> None:
        """Check that all rows ended with their last column; ``CORRUPT_RECORD_EXCEPTION`` if not."""
        surplus = self._positions != self._ends
        if surplus.any():
            row = int(surplus.argmax())
            raise corrupt_row(f"row {row} has {int(self._ends[row] - self._positions[row])} bytes after its fields")

    @abstractmethod
    def _numbers(self, code: str, nulls: Mask | None) -> Column:
        """Numbers of a struct code; 0 for null."""

    @abstractmethod
    def _timestamps(self, nulls: Mask | None) -> tuple[Column, Column]:
        """Milliseconds and nanoseconds; 0 for null."""

    @abstractmethod
    def _items(self, data_type: DataType, nulls: Mask | None) -> tuple[Column, Column]:
        """Start and length of items of bytes, all of them inside their rows; length 0 for null."""

    @abstractmethod
    def _image_codec(self, data_type: DataType) -> ImageCodec:
        """Codec of nested values."""

    def _nulls(self, index: int) -> Mask | None:
        if index % 8 == 0:
            self._null_bytes = self._data.take(self._starts + index // 8)
            self._any_null = int(np.bitwise_or.reduce(self._null_bytes))
        bit = 1 << index % 8
        if not self._any_null & bit:
            return None
        nulls: Mask = (self._null_bytes & bit) != 0
        return nulls

    def _at(self, nulls: Mask | None) -> Column:
        """Where to read: the positions, or zero bytes for null."""
        return self._positions if nulls is None else np.where(nulls, self._padding_at, self._positions)

    def _advance(self, lengths: Column | int, nulls: Mask | None) -> None:
        self._positions = self._positions + (lengths if nulls is None else lengths * ~nulls)
        if (self._positions > self._ends).any():
            row = int((self._positions > self._ends).argmax())
            raise corrupt_row(f"row {row} ends inside a field")

    def _fixed(self, code: str, at: Column) -> Column:
        dtype = np.dtype("<" + code)
        return _window(self._bytes, dtype)[at]

    def _read_fixed(self, code: str, nulls: Mask | None) -> Column:
        numbers = self._fixed(code, self._at(nulls))
        self._advance(numbers.itemsize, nulls)
        return numbers

    def _variable_array(self, data_type: DataType, starts: Column, lengths: Column, nulls: Mask | None) -> pa.Array:
        picked = self.slices(starts, starts + lengths)
        return array_from_buffers(data_type, self._count, nulls, [buffer or b"" for buffer in picked.buffers()[1:]])

    def _binary_array(self, data_type: DataType, starts: Column, lengths: Column, nulls: Mask | None) -> pa.Array:
        width = data_type.length
        check_fixed_size(data_type, self._count)
        if nulls is not None:
            lengths = np.where(nulls, width, lengths)
        if (lengths != width).any():
            row = int((lengths != width).argmax())
            raise corrupt_row(f"a value of {data_type} in row {row} has {int(lengths[row])} bytes")
        if nulls is not None and nulls.all():
            return pa.nulls(self._count, arrow_type(data_type))
        if nulls is not None:  # any value of a row that has one stands for null; Arrow does not look at it
            starts = np.where(nulls, int(starts[int((~nulls).argmax())]), starts)
        return array_from_buffers(data_type, self._count, nulls, [_window(self._bytes, np.dtype(f"V{width}"))[starts]])

    def _decimal_array(self, data_type: DataType, starts: Column, lengths: Column, nulls: Mask | None) -> pa.Array:
        present = lengths if nulls is None else np.where(nulls, 1, lengths)
        if not 0 < int(present.min()) <= int(present.max()) <= MAX_DECIMAL_BYTES:
            raise corrupt_row(f"a value of {data_type} must have 1 to {MAX_DECIMAL_BYTES} bytes")
        first = starts if nulls is None else np.where(nulls, self._padding_at, starts)
        last = first + present - 1
        sign = (self._data.take(first) >> 7) * np.uint8(0xFF)
        values = np.empty((self._count, DECIMAL_WIDTH), np.uint8)
        longest = int(present.max())
        for place in range(DECIMAL_WIDTH):
            if place >= longest:
                values[:, place] = sign
            else:
                byte = self._data.take(np.maximum(last - place, first))
                values[:, place] = np.where(present > place, byte, sign)
        return array_from_buffers(data_type, self._count, nulls, [values])

    def _images(self, starts: Column, lengths: Column, nulls: Mask | None) -> list[bytes | None]:
        data = self._bytes
        images: list[bytes | None] = [
            data[start:end] for start, end in zip(starts.tolist(), (starts + lengths).tolist(), strict=True)
        ]
        if nulls is not None:
            for index in np.flatnonzero(nulls).tolist():
                images[index] = None
        return images


class _CompactedReader(ColumnReader):
    def __init__(self, rows: Sequence[bytes], types: Sequence[DataType], skip: int) -> None:
        super().__init__(rows, types, (len(types) + 7) // 8, skip)

    def _numbers(self, code: str, nulls: Mask | None) -> Column:
        if code == "i":
            return self._varint(_VARINT32_BYTES, nulls).astype(np.uint32).view(_INT32)
        if code == "q":
            return self._varint(_VARINT64_BYTES, nulls).view(np.int64)
        return self._read_fixed(code, nulls)

    def _timestamps(self, nulls: Mask | None) -> tuple[Column, Column]:
        return self._numbers("q", nulls), self._numbers("i", nulls)

    def _items(self, data_type: DataType, nulls: Mask | None) -> tuple[Column, Column]:
        lengths = (self._varint(_VARINT32_BYTES, nulls) & np.uint64(0xFFFFFFFF)).view(np.int64)
        starts = self._positions
        self._advance(lengths, nulls)
        return starts, lengths

    def _image_codec(self, data_type: DataType) -> ImageCodec:
        return compacted_image_codec(data_type)

    def _varint(self, max_bytes: int, nulls: Mask | None) -> npt.NDArray[np.uint64]:
        """Unsigned varints; 0 for null."""
        at = self._at(nulls)
        first = self._data.take(at)
        if int(first.max()) < 0x80:
            self._advance(1, nulls)
            return first.astype(np.uint64)
        words = self._fixed("u8", at)
        stop = ~words & _CONTINUE
        kept = stop ^ (stop - _ONE)  # all bits up to the stop bit; all bits if there is none in the word
        lengths = (((kept & _LOWEST) * _LOWEST) >> np.uint64(56)).view(np.int64)
        values = _pack_groups(words & kept & ~_CONTINUE)
        if max_bytes > _WORD:
            self._add_last_bytes(values, lengths, at, np.flatnonzero(stop == 0))
        elif int(lengths.max()) > max_bytes:
            raise corrupt_row(f"row {int(lengths.argmax())} has a varint of more than {max_bytes} bytes")
        self._advance(lengths, nulls)
        return values

    def _add_last_bytes(self, values: Column, lengths: Column, at: Column, rows: Column) -> None:
        """Bytes 9 and 10 of the varints that have them."""
        if not len(rows):
            return
        where = at.take(rows) + _WORD
        ninth, tenth = self._data.take(where), self._data.take(where + 1)
        longer = ninth >= 0x80
        if ((tenth >= 0x80) & longer).any():
            raise corrupt_row(f"a varint of more than {_VARINT64_BYTES} bytes")
        high = (ninth & np.uint8(0x7F)).astype(np.uint64) << np.uint64(56)
        high |= (tenth * longer).astype(np.uint64) << np.uint64(63)
        values[rows] |= high
        lengths[rows] = np.where(longer, _VARINT64_BYTES, _VARINT64_BYTES - 1)


class _IndexedReader(ColumnReader):
    _pads_chars = True

    def __init__(self, rows: Sequence[bytes], types: Sequence[DataType], skip: int) -> None:
        bits = (len(types) + 7) // 8
        variable = sum(fixed_image_width(data_type) is None for data_type in types)
        super().__init__(rows, types, bits + 4 * variable, skip)
        self._entries = self._starts + bits  # position of the next entry in the list of lengths

    def _numbers(self, code: str, nulls: Mask | None) -> Column:
        return self._read_fixed(code, nulls)

    def _timestamps(self, nulls: Mask | None) -> tuple[Column, Column]:
        return self._read_fixed("q", nulls), self._read_fixed("i", nulls)

    def _items(self, data_type: DataType, nulls: Mask | None) -> tuple[Column, Column]:
        width = fixed_image_width(data_type)
        starts = self._positions
        if width is None:
            at = self._entries if nulls is None else np.where(nulls, self._padding_at, self._entries)
            lengths = self._fixed("i", at).astype(np.int64)
            self._entries = self._entries + (4 if nulls is None else 4 * ~nulls)
            if int(lengths.min()) < 0:
                raise corrupt_row(f"row {int(lengths.argmin())} has a field of negative length")
        else:
            lengths = np.full(self._count, width) if nulls is None else np.where(nulls, 0, width)
        self._advance(lengths, nulls)
        return starts, lengths

    def _image_codec(self, data_type: DataType) -> ImageCodec:
        return indexed_image_codec(data_type)


def _window(data: bytes, dtype: np.dtype[Any]) -> Column:
    """A number at every byte position of ``data``."""
    numbers: Column = np.ndarray((len(data) - dtype.itemsize + 1,), dtype, data, strides=(1,))
    return numbers


def _pack_groups(groups: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Move eight groups of 7 bits, one in each byte, together to 56 bits."""
    pairs = (groups & np.uint64(0x007F007F007F007F)) | ((groups & np.uint64(0x7F007F007F007F00)) >> _ONE)
    fours = (pairs & np.uint64(0x00003FFF00003FFF)) | ((pairs & np.uint64(0x3FFF00003FFF0000)) >> np.uint64(2))
    packed: npt.NDArray[np.uint64] = (fours & np.uint64(0x0FFFFFFF)) | ((fours >> np.uint64(32)) << np.uint64(28))
    return packed
