"""Reading the rows of a LOOKUP, within bounds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from fluss_server.errors import ErrorCode, FlussError

if TYPE_CHECKING:
    from fluss_server.kv.kv_tablet import KvTablet

Values: TypeAlias = "list[bytes | None]"
RunInWorker: TypeAlias = "Callable[..., Awaitable[Any]]"

MAX_INLINE_KEYS = 128
"""Keys of one request that are read on the event loop; a longer request is read by a worker, part by part."""

MAX_READ_KEYS = 1_024
"""Keys that are read together, and as many as :data:`MAX_READ_BYTES` allows."""

MAX_READ_BYTES = 1 << 20

MAX_LOOKUP_KEYS = 100_000
"""Keys of one request, and prefixes of a prefix lookup."""

MAX_VALUES_BYTES = 64 << 20
"""Most bytes of the values of one request; a larger response would have to be held in memory as a whole."""


def are_few_keys(buckets: Sequence[Any]) -> bool:
    """Whether a request has at most :data:`MAX_INLINE_KEYS` keys in its ``buckets``, and not more of these."""
    if len(buckets) == 1:
        return len(buckets[0].keys) <= MAX_INLINE_KEYS
    return len(buckets) <= MAX_INLINE_KEYS and sum([len(bucket.keys) for bucket in buckets]) <= MAX_INLINE_KEYS


class LookupReader:
    """Reads the keys of one bucket, part by part.

    A key that is given several times is read once.

    Args:
        kv: of the bucket.
        keys: encoded keys, in any order. Many of them stay in their request until their part is read: making a list of
            100,000 would hold the event loop.
        size_bytes: what the same request has found in other buckets.
    """

    def __init__(self, kv: KvTablet, keys: Sequence[bytes], size_bytes: int = 0) -> None:
        self._kv = kv
        self._keys = keys
        self._count = len(keys)
        self._found: dict[bytes, bytes | None] = {}
        self._values: Values = []
        self._part = MAX_INLINE_KEYS
        self._size_bytes = size_bytes

    @property
    def is_short(self) -> bool:
        """Whether there are so few keys that they can be read on the event loop."""
        return self._count <= MAX_INLINE_KEYS

    @property
    def done(self) -> bool:
        """Whether every key has been read."""
        return len(self._values) >= self._count

    def read_part(self) -> None:
        """Read the next keys. Any thread, one at a time.

        Raises:
            FlussError: ``KV_STORAGE_EXCEPTION``; ``RECORD_TOO_LARGE_EXCEPTION`` when the values exceed
                :data:`MAX_VALUES_BYTES`; repeated keys count as often as they were given.
        """
        begin = len(self._values)
        keys = self._keys[begin : begin + self._part]
        found = self._found
        missing = [key for key in dict.fromkeys(keys) if key not in found] if found else list(dict.fromkeys(keys))
        found.update(zip(missing, self._kv.lookup(missing), strict=True))
        values = list(map(found.__getitem__, keys))
        size = sum(len(value) for value in values if value is not None)
        self._check_size(self._size_bytes + size)
        self._values += values
        # The next part takes as many keys as that allows, if their values are like these.
        self._part = max(1, min(MAX_READ_KEYS, MAX_READ_BYTES * len(keys) // max(size, 1)))

    def take_values(self) -> Values:
        """The values in the order of the keys, None for a missing one; once, when :attr:`done`.

        Nothing is kept, so that memory of many values is freed by the thread that used them.
        """
        values, self._values, self._found = self._values, [], {}
        return values

    def _check_size(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        if size_bytes > MAX_VALUES_BYTES:
            raise _too_large(self._count)


async def read_all(reader: LookupReader, run: RunInWorker) -> None:
    """Read every value: a few keys at once, the parts of many by a worker; errors as :class:`LookupReader`."""
    if reader.is_short:
        reader.read_part()
    while not reader.done:
        await run(reader.read_part)


def _too_large(key_count: int) -> FlussError:
    return FlussError(
        ErrorCode.RECORD_TOO_LARGE_EXCEPTION,
        f"the values of {key_count} keys take more than {MAX_VALUES_BYTES} bytes",
        hint="look up fewer keys at a time",
    )


def check_key_count(count: int) -> None:
    """Refuse a request with too many keys; ``RECORD_TOO_LARGE_EXCEPTION``."""
    if count > MAX_LOOKUP_KEYS:
        raise FlussError(
            ErrorCode.RECORD_TOO_LARGE_EXCEPTION,
            f"a lookup of {count} keys; {MAX_LOOKUP_KEYS} are allowed",
            hint="look up fewer keys at a time",
        )
