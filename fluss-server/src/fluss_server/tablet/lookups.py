"""Lookups that arrive in one turn of the event loop are answered by one read of RocksDB."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fluss_server.errors import ErrorCode, FlussError

if TYPE_CHECKING:
    from fluss_server.kv.kv_tablet import KvTablet

Values = list[bytes | None]

MAX_READ_KEYS = 1_024
"""Keys that are read together; a longer request is read in parts."""

MAX_VALUES_BYTES = 64 << 20
"""Most bytes of the values of one request; one that asks for more is refused, because its answer has to be held."""


class LookupBatcher:
    """Gathers lookups per KvTablet until the current turn of the event loop is over."""

    def __init__(self) -> None:
        self._pending: dict[KvTablet, list[tuple[list[bytes], asyncio.Future[Values]]]] = {}

    def lookup(self, kv: KvTablet, keys: list[bytes]) -> asyncio.Future[Values]:
        """Values of ``keys`` in their order; None for a missing key.

        The future fails with ``KV_STORAGE_EXCEPTION``, or ``RECORD_TOO_LARGE_EXCEPTION`` when the values exceed
        :data:`MAX_VALUES_BYTES`.
        """
        loop = asyncio.get_running_loop()
        if not self._pending:
            loop.call_soon(self._run)
        future: asyncio.Future[Values] = loop.create_future()
        self._pending.setdefault(kv, []).append((keys, future))
        return future

    def _run(self) -> None:
        pending, self._pending = self._pending, {}
        for kv, requests in pending.items():
            together: list[tuple[list[bytes], asyncio.Future[Values]]] = []
            count = 0
            for request in requests:
                if count + len(request[0]) > MAX_READ_KEYS and together:
                    _read(kv, together)
                    together, count = [], 0
                together.append(request)
                count += len(request[0])
            _read(kv, together)


def _read(kv: KvTablet, requests: list[tuple[list[bytes], asyncio.Future[Values]]]) -> None:
    """Answer requests of :data:`MAX_READ_KEYS` keys in all, or a single one."""
    try:
        values = _lookup(kv, [key for keys, _ in requests for key in keys])
    except Exception as error:
        failure = error if isinstance(error, FlussError) else FlussError(ErrorCode.KV_STORAGE_EXCEPTION, str(error))
        for _, future in requests:
            if not future.done():
                future.set_exception(failure)
        return
    position = 0
    for keys, future in requests:
        if not future.done():
            future.set_result(values[position : position + len(keys)])
        position += len(keys)


def _lookup(kv: KvTablet, keys: list[bytes]) -> Values:
    if len(keys) <= MAX_READ_KEYS:
        return kv.lookup(keys)
    values: Values = []
    size = 0
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
