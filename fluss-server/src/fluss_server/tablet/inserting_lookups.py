"""LOOKUP that inserts what it does not find: dimension tables whose keys get their numbers when they are first seen.

The row of a missing key has the key, a number in the auto-increment column if there is one, and null elsewhere. The KV
thread decides for one lookup after the other what is missing, so that lookups of the same key insert one row, however
many arrive at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.replica.replica import Replica
from fluss_server.runtime.waits import wait_at_most
from fluss_server.tablet.lookups import LookupReader, RunInWorker, check_key_count, read_all

MAX_TIMEOUT_MS = 120_000
"""Upper bound of the time a lookup waits for its rows to be acknowledged, whatever it requests."""


async def find_or_insert(
    replica: Replica, keys: Sequence[bytes], run: RunInWorker, *, acks: int, timeout_ms: int
) -> list[bytes | None]:
    """Values of ``keys`` in order, all of them rows that are there.

    Args:
        replica: of a primary-key table.
        keys: encoded primary keys.
        run: runs a function in the thread that reads.
        acks: 0 = do not wait until inserted rows are acknowledged; what is returned may then still be lost.
        timeout_ms: how long to wait for that.

    Raises:
        FlussError: what :func:`read_all` and ``KvTablet.find_or_insert`` raise; ``REQUEST_TIME_OUT``.
    """
    check_key_count(len(keys))
    reader = LookupReader(replica.require_kv(), keys)
    await read_all(reader, run)
    values = reader.take_values()
    missing = [index for index, value in enumerate(values) if value is None]
    if not missing:
        return values
    replica.check_acks(acks)
    try:
        found, end_offset = await replica.find_or_insert([keys[index] for index in missing])
    except FlussError as error:
        if error.code is ErrorCode.STORAGE_BACKPRESSURE_EXCEPTION:  # no version of LOOKUP knows that code
            raise FlussError(ErrorCode.KV_STORAGE_EXCEPTION, error.message, hint=error.hint) from None
        raise
    if acks != 0:
        try:
            limit_s = min(max(timeout_ms, 1), MAX_TIMEOUT_MS) / 1000
            await wait_at_most(replica.acknowledged_below(end_offset, acks), limit_s)
        except asyncio.TimeoutError:
            raise FlussError(
                ErrorCode.REQUEST_TIME_OUT,
                f"the new rows were not acknowledged within {timeout_ms} ms",
                hint="they are in the log; look the keys up again",
            ) from None
    for index, value in zip(missing, found, strict=True):
        values[index] = value
    return values
