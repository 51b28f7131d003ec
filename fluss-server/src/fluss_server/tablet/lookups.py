"""Reading the rows of a LOOKUP, within bounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fluss_server.errors import ErrorCode, FlussError

if TYPE_CHECKING:
    from fluss_server.kv.kv_tablet import KvTablet

Values = list[bytes | None]

MAX_READ_KEYS = 1_024
"""Keys that are read together; a longer request is read in parts."""

MAX_VALUES_BYTES = 64 << 20
"""Most bytes of the values of one request; one that asks for more is refused, because its answer has to be held."""


def read_values(kv: KvTablet, keys: Sequence[bytes], size_bytes: int = 0) -> Values:
    """Values of ``keys`` in their order; None for a missing key.

    Args:
        size_bytes: what the same request has found in other buckets.

    Raises:
        FlussError: ``KV_STORAGE_EXCEPTION``; ``RECORD_TOO_LARGE_EXCEPTION`` when the values exceed
            :data:`MAX_VALUES_BYTES`.
    """
    if len(keys) <= MAX_READ_KEYS and size_bytes <= MAX_VALUES_BYTES:
        return kv.lookup(keys)
    values: Values = []
    size = size_bytes
    for start in range(0, len(keys), MAX_READ_KEYS):
        part = kv.lookup(keys[start : start + MAX_READ_KEYS])
        size += sum(len(value) for value in part if value is not None)
        if size > MAX_VALUES_BYTES:
            raise FlussError(
                ErrorCode.RECORD_TOO_LARGE_EXCEPTION,
                f"the values of {len(keys)} keys take more than {MAX_VALUES_BYTES} bytes",
                hint="ask for fewer keys at a time",
            )
        values += part
    return values
