"""Bytes of the embedded store's file: a header and one frame per transaction. Pure; little-endian.

::

    header       magic "FLSMETA\\xff" | u32 format version 1 | u64 base length | u64 first transaction id | u32 crc
    frame        magic "\\xffTX1" | u32 payload length | u64 transaction id | u32 crc | payload
    payload      entries; none, as older programs wrote when they closed the file, changes nothing
    put          u8 1 | u32 path length | path | u32 version | u32 value length | value
    delete       u8 2 | u32 path length | path

The crc of the header is CRC-32C of what precedes it, that of a frame CRC-32C of ``length | id | payload``. Transaction
ids are consecutive. Entries hold results, not operations: the new value and version of a node, parents before children.

What a crash may leave and what it may not
    Each frame is on disk before the next one is written, so a crash can damage the last frame only: a *torn tail*. A
    bad frame that is followed by a good one, or that lies in the base, is damage by something else: the file is
    refused. Whether a bad last frame was acknowledged tells the checkpoint (``checkpoint.py``). The base is what was
    complete when the file was put in place (after a rewrite, everything then alive). The byte ``ff`` in the magic
    occurs in no UTF-8 text, so that values cannot look like frames.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from fluss_server.formats.crc import crc32c
from fluss_server.metadata.store import Node, check_path

FILE_MAGIC = b"FLSMETA\xff"
FRAME_MAGIC = b"\xffTX1"
FORMAT_VERSION = 1

_HEADER = struct.Struct("<8sIQQ")
_FRAME = struct.Struct("<4sIQI")
_CHECKED = struct.Struct("<IQ")
_U32 = struct.Struct("<I")
_PUT_TAIL = struct.Struct("<II")
_PUT = 1
_DELETE = 2

HEADER_SIZE = _HEADER.size + _U32.size
FRAME_HEADER_SIZE = _FRAME.size
MAX_PAYLOAD_BYTES = 64 << 20
"""Largest transaction; bounds what a reader takes for a length."""

Changes = Iterable[tuple[str, "Node | None"]]
"""Path and new node of a put, path and None of a delete."""


class JournalDamaged(Exception):
    """The file is damaged in a way that no crash of its writer explains.

    Attributes:
        hint: what can be done about it.
    """

    def __init__(self, message: str, hint: str = "restore the file from a copy") -> None:
        super().__init__(message)
        self.hint = hint


class Contents(NamedTuple):
    """What a file holds.

    Attributes:
        transactions: changes of each, in order; some may be empty.
        end: position after the last good frame; what follows is a torn tail.
        next_id: id of the transaction to write next.
    """

    transactions: list[list[tuple[str, Node | None]]]
    end: int
    next_id: int


def encode_header(base_length: int, first_id: int) -> bytes:
    """The first bytes of a file whose first ``base_length`` bytes are put in place at once."""
    header = _HEADER.pack(FILE_MAGIC, FORMAT_VERSION, base_length, first_id)
    return header + _U32.pack(crc32c(header))


def encode_transaction(transaction_id: int, changes: Changes) -> bytes:
    """One frame.

    Raises:
        ValueError: larger than :data:`MAX_PAYLOAD_BYTES`.
    """
    pieces: list[bytes] = []
    for path, node in changes:
        name = path.encode()
        if node is None:
            pieces += (bytes((_DELETE,)), _U32.pack(len(name)), name)
        else:
            tail = _PUT_TAIL.pack(node.version, len(node.value))
            pieces += (bytes((_PUT,)), _U32.pack(len(name)), name, tail, node.value)
    payload = b"".join(pieces)
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ValueError(f"a transaction of {len(payload)} bytes, the limit is {MAX_PAYLOAD_BYTES}")
    crc = crc32c(_CHECKED.pack(len(payload), transaction_id) + payload)
    return _FRAME.pack(FRAME_MAGIC, len(payload), transaction_id, crc) + payload


def encode_file(nodes: Iterable[tuple[str, Node]], first_id: int, chunk_bytes: int = 1 << 20) -> tuple[bytes, int]:
    """A whole file that holds ``nodes`` (parents first) as its base.

    Returns:
        the bytes, and the id of the transaction to write next.
    """
    frames: list[bytes] = []
    chunk: list[tuple[str, Node]] = []
    size = 0
    next_id = first_id
    for path, node in nodes:
        chunk.append((path, node))
        size += len(path) + len(node.value)
        if size >= chunk_bytes:
            frames.append(encode_transaction(next_id, chunk))
            next_id += 1
            chunk, size = [], 0
    if chunk:
        frames.append(encode_transaction(next_id, chunk))
        next_id += 1
    body = b"".join(frames)
    return encode_header(HEADER_SIZE + len(body), first_id) + body, next_id


def read_file(data: bytes) -> Contents:
    """Read a file that may end in a torn tail.

    Raises:
        JournalDamaged: damage that is not a torn tail, with its position.
    """
    base_length, first_id = _read_header(data)
    transactions: list[list[tuple[str, Node | None]]] = []
    position = HEADER_SIZE
    next_id = first_id
    while position < len(data):
        frame = _frame_at(data, position)
        if frame is None:
            _check_torn(data, position, base_length)
            break
        transaction_id, payload = frame
        if transaction_id != next_id:
            raise JournalDamaged(f"transaction {transaction_id} instead of {next_id} at byte {position}")
        try:
            transactions.append(list(_entries(payload)))
        except (ValueError, struct.error, IndexError) as error:
            raise JournalDamaged(f"transaction {transaction_id} at byte {position} is malformed: {error}") from None
        position += FRAME_HEADER_SIZE + len(payload)
        next_id += 1
    if position < base_length:
        raise JournalDamaged(f"the file ends at byte {position}, but {base_length} bytes were complete")
    return Contents(transactions, position, next_id)


def _read_header(data: bytes) -> tuple[int, int]:
    if len(data) < HEADER_SIZE or not data.startswith(FILE_MAGIC):
        raise JournalDamaged("it does not start with the header of a metadata file")
    _, version, base_length, first_id = _HEADER.unpack_from(data)
    (crc,) = _U32.unpack_from(data, _HEADER.size)
    if crc != crc32c(data[: _HEADER.size]):
        raise JournalDamaged("the checksum of its header does not match")
    if version != FORMAT_VERSION:
        raise JournalDamaged(f"it has format version {version}, this program reads {FORMAT_VERSION}")
    return base_length, first_id


def _frame_at(data: bytes, position: int) -> tuple[int, bytes] | None:
    """Id and payload of the frame at ``position``, or None if there is no whole, undamaged one."""
    if len(data) - position < FRAME_HEADER_SIZE:
        return None
    magic, length, transaction_id, crc = _FRAME.unpack_from(data, position)
    start = position + FRAME_HEADER_SIZE
    if magic != FRAME_MAGIC or length > min(MAX_PAYLOAD_BYTES, len(data) - start):
        return None
    payload = data[start : start + length]
    if crc != crc32c(_CHECKED.pack(length, transaction_id) + payload):
        return None
    return transaction_id, payload


def _check_torn(data: bytes, position: int, base_length: int) -> None:
    """``JournalDamaged`` unless the bad bytes at ``position`` are what a crash leaves of the last frame."""
    if position < base_length:
        raise JournalDamaged(f"bad bytes at {position}, in the {base_length} bytes that were complete")
    later = data.find(FRAME_MAGIC, position + 1)
    while later >= 0:
        if _frame_at(data, later) is not None:
            raise JournalDamaged(f"bad bytes at {position}, but a good transaction at {later}")
        later = data.find(FRAME_MAGIC, later + 1)


def _entries(payload: bytes) -> Iterator[tuple[str, Node | None]]:
    position = 0
    while position < len(payload):
        kind = payload[position]
        (length,) = _U32.unpack_from(payload, position + 1)
        position += 1 + _U32.size
        path = _slice(payload, position, length).decode()
        check_path(path)
        position += length
        if kind == _DELETE:
            yield path, None
        elif kind == _PUT:
            version, size = _PUT_TAIL.unpack_from(payload, position)
            position += _PUT_TAIL.size
            yield path, Node(_slice(payload, position, size), version)
            position += size
        else:
            raise ValueError(f"unknown entry {kind}")


def _slice(payload: bytes, start: int, length: int) -> bytes:
    if length > len(payload) - start:
        raise ValueError(f"{length} bytes announced, {len(payload) - start} left")
    return payload[start : start + length]
