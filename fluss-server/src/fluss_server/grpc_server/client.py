"""A client of the gRPC server, as the ``fluss`` command uses it."""

from __future__ import annotations

import base64
from types import TracebackType
from typing import TYPE_CHECKING, Any

from fluss_server.api.keys import API_SPECS, ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.grpc_server.server import MAX_MESSAGE_BYTES
from fluss_server.grpc_server.service_file import method_path
from fluss_server.grpc_server.status import error_from_metadata

if TYPE_CHECKING:
    from google.protobuf.message import Message

DEFAULT_TIMEOUT_S = 30.0
_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # Whoever waits for a server that starts again wants to find it soon; the default goes up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


class GrpcClient:
    """One channel to a server. Calls block; use it in a ``with`` statement.

    Args:
        address: ``host:port`` of the gRPC server.
        user: name to authenticate with, None = anonymous.
        password: of that user.
        timeout_s: limit of calls that give none of their own, in seconds.
    """

    def __init__(
        self, address: str, *, user: str | None = None, password: str = "", timeout_s: float = DEFAULT_TIMEOUT_S
    ) -> None:
        import grpc

        self.address = address
        self._timeout_s = timeout_s
        self._channel = grpc.insecure_channel(address, options=_OPTIONS)
        self._metadata: tuple[tuple[str, str], ...] = ()
        if user is not None:
            credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
            self._metadata = (("authorization", f"Basic {credentials}"),)

    def call(self, key: ApiKey, request: Message, *, timeout_s: float | None = None) -> Any:
        """Send a request and wait for its response, a message of the API's response class.

        Raises:
            FlussError: the server returned an error; ``NETWORK_EXCEPTION`` when it cannot be reached,
                ``REQUEST_TIME_OUT``, ``UNSUPPORTED_VERSION`` when it does not serve the API.
        """
        import grpc

        spec = API_SPECS[key]
        method = self._channel.unary_unary(
            method_path(spec),
            request_serializer=spec.request.SerializeToString,
            response_deserializer=spec.response.FromString,
        )
        try:
            return method(request, timeout=self._timeout_s if timeout_s is None else timeout_s, metadata=self._metadata)
        except grpc.RpcError as error:
            raise self._error(error, spec.name) from None

    def _error(self, error: Any, api: str) -> FlussError:
        import grpc

        known = error_from_metadata(error.trailing_metadata() or ())
        if known is not None:
            return known
        status = error.code()
        if status is grpc.StatusCode.UNAVAILABLE:
            return FlussError(
                ErrorCode.NETWORK_EXCEPTION,
                f"cannot reach the gRPC server at {self.address}",
                hint="is the server running, and is this its gRPC address? Both are printed at its start",
            )
        if status is grpc.StatusCode.DEADLINE_EXCEEDED:
            return FlussError(ErrorCode.REQUEST_TIME_OUT, f"{api}: no response in time")
        if status is grpc.StatusCode.UNIMPLEMENTED:
            return FlussError(ErrorCode.UNSUPPORTED_VERSION, f"the server does not serve {api}")
        return FlussError(ErrorCode.UNKNOWN_SERVER_ERROR, f"{api}: {status.name}: {error.details()}")

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    def __enter__(self) -> GrpcClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
