"""Which bucket a key belongs to (docs/formats/keys-and-buckets.md). All arithmetic is Java's, on 32 bits.

* Fluss: a variant of Murmur3 with seed 42 in which each of the 0 to 3 bytes after the last whole word is taken as a
  signed number and mixed like a word; mixed once more; absolute value modulo the number of buckets.
* Paimon: the same hash, its signed remainder's absolute value.
* Iceberg: standard Murmur3 with seed 0, sign bit cleared.
* Hudi: the key is the hash.
"""

from __future__ import annotations

import struct

from fluss_server.errors import ErrorCode, FlussError

_MASK = 0xFFFFFFFF
_SIGN = 0x80000000
_C1 = 0xCC9E2D51
_C2 = 0x1B873593
_SEED = 42
_WORD_SIZE = 4
_HUDI_KEY_SIZE = 4


def bucket_of(key: bytes, buckets: int, lake: str | None = None) -> int:
    """Bucket of a bucket key.

    Args:
        key: as the bucket key's encoder of the same lake writes it.
        buckets: number of buckets, at least 1.
        lake: lake whose function is wanted; None and ``lance`` = that of Fluss.

    Returns:
        0 to ``buckets - 1``.

    Raises:
        FlussError: ``CORRUPT_RECORD_EXCEPTION`` for an empty key or a Hudi key that has not 4 bytes,
            ``INVALID_TABLE_EXCEPTION`` for an unknown lake.
    """
    if not key:
        raise FlussError(ErrorCode.CORRUPT_RECORD_EXCEPTION, "an empty bucket key has no bucket")
    lake = lake.lower() if lake is not None else "lance"
    if lake == "lance":
        return fluss_hash(key) % buckets
    if lake == "paimon":
        return abs(_signed(word_hash(key))) % buckets
    if lake == "iceberg":
        return (murmur3_32(key) & ~_SIGN) % buckets
    if lake == "hudi":
        if len(key) != _HUDI_KEY_SIZE:
            raise FlussError(ErrorCode.CORRUPT_RECORD_EXCEPTION, f"a Hudi bucket key has 4 bytes, not {len(key)}")
        return (int.from_bytes(key, "big") & ~_SIGN) % buckets
    raise FlussError(ErrorCode.INVALID_TABLE_EXCEPTION, f"unknown lake format {lake!r}")


def fluss_hash(key: bytes) -> int:
    """Hash of which the Fluss bucket is the remainder, 0 to 2^31-1."""
    mixed = _finish(_mix_hash(0, _mix_word(word_hash(key))) ^ _WORD_SIZE)
    return 0 if mixed == _SIGN else abs(_signed(mixed))


def word_hash(data: bytes) -> int:
    """The seed-42 hash of Fluss and Paimon, unsigned."""
    code = _SEED
    whole = len(data) & ~3
    for (word,) in struct.iter_unpack("<I", data[:whole]):
        code = _mix_hash(code, _mix_word(word))
    for byte in data[whole:]:
        code = _mix_hash(code, _mix_word(byte - 256 & _MASK if byte >= 0x80 else byte))
    return _finish(code ^ len(data))


def murmur3_32(data: bytes) -> int:
    """Standard Murmur3 (x86, 32 bits) with seed 0, unsigned."""
    code = 0
    whole = len(data) & ~3
    for (word,) in struct.iter_unpack("<I", data[:whole]):
        code = _mix_hash(code, _mix_word(word))
    if whole < len(data):
        code ^= _mix_word(int.from_bytes(data[whole:], "little"))
    return _finish(code ^ len(data))


def _mix_word(word: int) -> int:
    word = word * _C1 & _MASK
    return (word << 15 | word >> 17) * _C2 & _MASK


def _mix_hash(code: int, word: int) -> int:
    code ^= word
    return ((code << 13 | code >> 19) * 5 + 0xE6546B64) & _MASK


def _finish(code: int) -> int:
    code ^= code >> 16
    code = code * 0x85EBCA6B & _MASK
    code ^= code >> 13
    code = code * 0xC2B2AE35 & _MASK
    return code ^ code >> 16


def _signed(code: int) -> int:
    return code - (code & _SIGN) * 2
