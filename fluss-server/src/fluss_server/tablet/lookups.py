"""Lookups that arrive in one turn of the event loop are answered by one read of RocksDB."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fluss_server.errors import ErrorCode, FlussError

if TYPE_CHECKING:
    from fluss_server.kv.kv_tablet import KvTablet

Values = list[bytes | None]


class LookupBatcher:
    """Gathers lookups per KvTablet until the current turn of the event loop is over."""

    def __init__(self) -> None:
        self._pending: dict[KvTablet, list[tuple[list[bytes], asyncio.Future[Values]]]] = {}

    def lookup(self, kv: KvTablet, keys: list[bytes]) -> asyncio.Future[Values]:
        """Values of ``keys`` in their order; None for a missing key."""
        loop = asyncio.get_running_loop()
        if not self._pending:
            loop.call_soon(self._run)
        future: asyncio.Future[Values] = loop.create_future()
        self._pending.setdefault(kv, []).append((keys, future))
        return future

    def _run(self) -> None:
        pending, self._pending = self._pending, {}
        for kv, requests in pending.items():
            try:
                values = kv.lookup([key for keys, _ in requests for key in keys])
            except Exception as error:
                failure = (
                    error if isinstance(error, FlussError) else FlussError(ErrorCode.KV_STORAGE_EXCEPTION, str(error))
                )
                for _, future in requests:
                    if not future.done():
                        future.set_exception(failure)
                continue
            position = 0
            for keys, future in requests:
                if not future.done():
                    future.set_result(values[position : position + len(keys)])
                position += len(keys)
