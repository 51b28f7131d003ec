"""CRC-32C (Castagnoli, reflected polynomial 82f63b78), the checksum of log and KV batches."""

from __future__ import annotations

from google_crc32c import extend as _extend
from google_crc32c import value as _crc_of_bytes

from fluss_server.formats.buffer import Buffer

_COPY_LIMIT_BYTES = 4096  # below this a copy is cheaper than a numpy view


def crc32c(data: Buffer) -> int:
    """CRC-32C of ``data`` as an unsigned 32-bit number; 0 for no bytes."""
    if isinstance(data, bytes):
        return int(_crc_of_bytes(data))
    if len(data) <= _COPY_LIMIT_BYTES:
        return int(_crc_of_bytes(bytes(data)))
    import numpy as np

    # The C function refuses mutable buffers but takes an array, which it reads in place.
    return int(_crc_of_bytes(np.frombuffer(data, dtype=np.uint8)))


def extend_crc32c(crc: int, data: bytes) -> int:
    """CRC-32C of bytes whose CRC-32C is ``crc`` (0 for none) followed by ``data``."""
    return int(_extend(crc, data))
