"""A client that repeats what gets no response, as official clients do: with the same writer id and sequence number."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.rpc.client import RpcClient

CALL_TIMEOUT_S = 10.0
REPEAT_LIMIT_S = 60.0

RESTART = frozenset(
    {
        ErrorCode.NETWORK_EXCEPTION,
        ErrorCode.REQUEST_TIME_OUT,
        ErrorCode.NOT_LEADER_OR_FOLLOWER,
        ErrorCode.UNKNOWN_TABLE_OR_BUCKET_EXCEPTION,
        ErrorCode.LEADER_NOT_AVAILABLE_EXCEPTION,
        ErrorCode.STORAGE_BACKPRESSURE_EXCEPTION,
    }
)
"""What a client may be told around a restart."""

DISK = frozenset(
    {
        ErrorCode.DISK_WRITE_LOCKED,
        ErrorCode.STORAGE_EXCEPTION,
        ErrorCode.LOG_STORAGE_EXCEPTION,
        ErrorCode.KV_STORAGE_EXCEPTION,
    }
)
"""And while the disk refuses."""


class Refused(AssertionError):
    """A response that must not be."""


class Client:
    """One connection at a time to a server that may be away.

    Args:
        port: of the server.
        repeated: codes after which a call is repeated.
        on_error: gets every error that is returned.
        authentication: user and password, None = without.
        timeout_s: of a call.
    """

    def __init__(
        self,
        port: int,
        repeated: frozenset[ErrorCode] = RESTART,
        on_error: Callable[[FlussError], None] = lambda error: None,
        *,
        authentication: tuple[str, str] | None = None,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        self._authentication = authentication
        self._timeout_s = timeout_s
        self._port = port
        self._repeated = repeated
        self._on_error = on_error
        self._connection: RpcClient | None = None
        self._connecting = asyncio.Lock()

    async def call(self, key: ApiKey, request: Any, bucket: Callable[[Any], Any] | None = None) -> Any:
        """A call, repeated until it succeeds.

        Args:
            bucket: finds the part of a response that has the error.

        Raises:
            Refused: an error that no repetition is for, or for too long.
        """
        deadline = asyncio.get_running_loop().time() + REPEAT_LIMIT_S
        codes: Counter[str] = Counter()
        while True:
            try:
                return await self.call_once(key, request, bucket)
            except FlussError as error:
                self._on_error(error)
                codes[error.code.name] += 1
                if error.code not in self._repeated:
                    raise Refused(f"{key.name} is refused with {error.code.name}: {error}") from None
                if asyncio.get_running_loop().time() > deadline:
                    raise Refused(f"{key.name} does not succeed in {REPEAT_LIMIT_S} s: {dict(codes)} {error}") from None
                if error.code in (ErrorCode.NETWORK_EXCEPTION, ErrorCode.REQUEST_TIME_OUT):
                    await self.close()
            await asyncio.sleep(0.03)  # between attempts

    async def call_once(self, key: ApiKey, request: Any, bucket: Callable[[Any], Any] | None = None) -> Any:
        """One attempt.

        Raises:
            FlussError: what the server, or the bucket, responds.
        """
        connection = await self._connected()
        response = await connection.call(key, request, timeout_s=self._timeout_s)
        found = response if bucket is None else bucket(response)
        if bucket is not None and found.HasField("error_code") and found.error_code != 0:
            raise FlussError(ErrorCode(found.error_code), found.error_message)
        return found

    async def _connected(self) -> RpcClient:
        async with self._connecting:
            if self._connection is None:
                self._connection = await RpcClient.connect(
                    "127.0.0.1", self._port, authentication=self._authentication, timeout_s=self._timeout_s
                )
            return self._connection

    async def close(self) -> None:
        """Close the connection; the next call makes a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
