"""Aligned rows (docs/formats/rows.md), the layout of Flink's and Paimon's BinaryRow.

``[byte 0 = row kind, 0][null bits from bit 8 on][8-byte slot per field][variable part]``, the bits padded to a multiple
of 8 bytes. Slots are as in :mod:`fluss_server.formats.slots`; numbers use the low bytes of theirs. Aligned rows occur
in Paimon keys and in batch statistics only.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from fluss_server.formats.binary_array import nested_codec
from fluss_server.formats.buffer import Buffer
from fluss_server.formats.scalars import corrupt_row, fixed_width
from fluss_server.formats.slots import check_references, slot_codec
from fluss_server.model.types import DataType

_FIRST_NULL_BIT = 8
_SLOT_SIZE = 8


class AlignedRowCodec:
    """Rows of a list of types."""

    def __init__(self, types: Sequence[DataType]) -> None:
        self._count = len(types)
        self._bits = (len(types) + 63 + _FIRST_NULL_BIT) // 64 * 8
        self._fixed = [fixed_width(data_type) for data_type in types]
        self._slots = [
            None if fixed is not None else slot_codec(data_type, _nested)
            for data_type, fixed in zip(types, self._fixed, strict=True)
        ]
        self._words = struct.Struct(f"<{len(types)}Q")

    def encode(self, value: Sequence[Any]) -> bytes:
        """Row of one value per field; None = null."""
        image = bytearray(self._bits + _SLOT_SIZE * self._count)
        for index, element in enumerate(value):
            position = self._bits + _SLOT_SIZE * index
            fixed, slot = self._fixed[index], self._slots[index]
            if element is None:
                bit = index + _FIRST_NULL_BIT
                image[bit >> 3] |= 1 << (bit & 7)
            elif fixed is not None:
                fixed.layout.pack_into(
                    image, position, element if fixed.to_number is None else fixed.to_number(element)
                )
            else:
                assert slot is not None
                word = slot.write(element, image)
                image[position : position + _SLOT_SIZE] = word.to_bytes(_SLOT_SIZE, "little")
        return bytes(image)

    def decode(self, data: Buffer) -> tuple[Any, ...]:
        """Values of a row; ``CORRUPT_RECORD_EXCEPTION`` if it is too short for them."""
        row = bytes(data)
        if len(row) < self._bits + self._words.size:
            raise corrupt_row(f"{len(row)} bytes, its slots take {self._bits + self._words.size}")
        words = self._words.unpack_from(row, self._bits)
        present = [not row[(index + _FIRST_NULL_BIT) >> 3] >> (index & 7) & 1 for index in range(self._count)]
        check_references(
            [
                word
                for word, slot, there in zip(words, self._slots, present, strict=True)
                if there and slot is not None and slot.refers
            ],
            len(row),
        )
        values: list[Any] = []
        for index, there in enumerate(present):
            fixed, slot = self._fixed[index], self._slots[index]
            if not there:
                values.append(None)
            elif fixed is not None:
                number = fixed.layout.unpack_from(row, self._bits + _SLOT_SIZE * index)[0]
                values.append(number if fixed.from_number is None else fixed.from_number(number))
            else:
                assert slot is not None
                values.append(slot.read(words[index], row))
        return tuple(values)


_nested = nested_codec(AlignedRowCodec)
