"""Frames of the native protocol: bytes in, frames out. No I/O.

All integers are signed and big endian; the length does not count itself::

    request          int32 length = 8 + body   int16 API key   int16 API version   int32 request id   body
    response 0, 1    int32 length = 5 + body   int8 type       int32 request id    body
    response 2       int32 length = 1 + body   int8 type       body

Response types: 0 SUCCESS (the body is the response message), 1 ERROR (the body is an ``ErrorResponse`` for that
request), 2 SERVER_FAILURE (an ``ErrorResponse`` for the connection, which is closed after it). pyfluss reads every type
but 0 as type 1, so a SERVER_FAILURE must never be followed by anything else.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast

from fluss_server.api import messages as pb
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.rpc.frame_memory import FrameMemory
from fluss_server.runtime.disk import Buffer, FileRegion

if TYPE_CHECKING:
    from google.protobuf.message import Message

Piece: TypeAlias = "bytes | bytearray | memoryview | FileRegion"

LENGTH_SIZE = 4
REQUEST_HEADER_SIZE = 8
RESPONSE_HEADER_SIZE = 5
MAX_LENGTH = 2**31 - 1

RECEIVE_BUFFER_SIZE = 64 * 1024
"""Most bytes that are received at once, but into a frame with memory of its own."""

SMALL_FRAME_SIZE = 4 * 1024
"""The beginning of a frame up to this long is kept as it is; a longer frame gets memory of its own to arrive in."""

_JOINED_SIZE = 64 * 1024  # a body in one piece below this size is copied after its prefix
_LENGTH = struct.Struct(">I")  # unsigned: a negative length reads as an absurdly long one
parse_request_header = struct.Struct(">hhi").unpack_from
"""API key, API version and request id of a request frame (without its length); the key is not checked."""
_REQUEST_PREFIX = struct.Struct(">ihhi")
_RESPONSE_PREFIX = struct.Struct(">ibi")
_FAILURE_PREFIX = struct.Struct(">ib")
_RESPONSE_HEADER = struct.Struct(">bi")


class ResponseType(IntEnum):
    """First byte of a response."""

    SUCCESS = 0
    ERROR = 1
    SERVER_FAILURE = 2


_SUCCESS = int(ResponseType.SUCCESS)


class ResponseFrame(NamedTuple):
    """A received response; ``request_id`` is None for SERVER_FAILURE."""

    type: ResponseType
    request_id: int | None
    body: memoryview


def piece_size(piece: Piece) -> int:
    """Bytes that a piece of a message puts on the wire."""
    if isinstance(piece, FileRegion):
        return piece.length
    return piece.nbytes if isinstance(piece, memoryview) else len(piece)


def request_prefix(api_key: int, api_version: int, request_id: int, body_size: int) -> bytes:
    """Everything of a request before its message."""
    return _REQUEST_PREFIX.pack(REQUEST_HEADER_SIZE + body_size, api_key, api_version, request_id)


def success_prefix(request_id: int, body_size: int) -> bytes:
    """Everything of a SUCCESS response before its message.

    Raises:
        FlussError: ``RECORD_TOO_LARGE_EXCEPTION`` when the body exceeds a frame.
    """
    length = RESPONSE_HEADER_SIZE + body_size
    if length > MAX_LENGTH:
        raise FlussError(ErrorCode.RECORD_TOO_LARGE_EXCEPTION, f"a response of {body_size} bytes exceeds a frame")
    return _RESPONSE_PREFIX.pack(length, _SUCCESS, request_id)


def success_frame(request_id: int, body: Message | Sequence[Piece]) -> tuple[Sequence[Piece], int]:
    """The pieces of a whole SUCCESS response, and how many bytes its body has.

    Raises:
        FlussError: as :func:`success_prefix`.
    """
    if not isinstance(body, (list, tuple)):
        data = cast("Message", body).SerializeToString()
        return (success_prefix(request_id, len(data)) + data,), len(data)
    if len(body) == 1 and type(piece := body[0]) is bytes and (size := len(piece)) < _JOINED_SIZE:
        return (_RESPONSE_PREFIX.pack(RESPONSE_HEADER_SIZE + size, _SUCCESS, request_id) + piece,), size
    size = sum(map(piece_size, body))
    return [success_prefix(request_id, size), *body], size


def error_frame(request_id: int, code: int, message: str | None) -> bytes:
    """A whole ERROR response."""
    body = _error_body(code, message)
    return _RESPONSE_PREFIX.pack(RESPONSE_HEADER_SIZE + len(body), ResponseType.ERROR, request_id) + body


def failure_frame(code: int, message: str | None) -> bytes:
    """A whole SERVER_FAILURE response; close the connection after it."""
    body = _error_body(code, message)
    return _FAILURE_PREFIX.pack(1 + len(body), ResponseType.SERVER_FAILURE) + body


def parse_response(frame: Buffer) -> ResponseFrame:
    """Split a response frame (without its length).

    Raises:
        FlussError: ``CORRUPT_MESSAGE`` when it is too short or of an unknown type.
    """
    view = memoryview(frame)
    if len(view) >= 1 and view[0] == ResponseType.SERVER_FAILURE:
        return ResponseFrame(ResponseType.SERVER_FAILURE, None, view[1:])
    if len(view) < RESPONSE_HEADER_SIZE or view[0] > ResponseType.ERROR:
        raise FlussError(ErrorCode.CORRUPT_MESSAGE, f"not a response frame: {bytes(view[:16]).hex()}")
    kind, request_id = _RESPONSE_HEADER.unpack_from(view)
    return ResponseFrame(ResponseType(kind), request_id, view[RESPONSE_HEADER_SIZE:])


def parse_error(body: Buffer) -> FlussError:
    """The error that the body of an ERROR or SERVER_FAILURE response describes; codes from the future become ``-1``."""
    from google.protobuf.message import DecodeError

    try:
        response = pb.ErrorResponse.FromString(bytes(body))
    except DecodeError:
        return FlussError(ErrorCode.CORRUPT_MESSAGE, "the peer sent an error that cannot be read")
    try:
        code = ErrorCode(response.error_code)
    except ValueError:
        message = f"error {response.error_code}: {response.error_message}"
        return FlussError(ErrorCode.UNKNOWN_SERVER_ERROR, message)
    return FlussError(code, response.error_message or code.name)


def _error_body(code: int, message: str | None) -> bytes:
    try:
        response = pb.ErrorResponse(error_code=code, error_message=message)
    except UnicodeEncodeError:  # it quotes half a surrogate pair, which JSON can hold
        response = pb.ErrorResponse(error_code=code, error_message=printable(message or ""))
    return response.SerializeToString()


def printable(text: str) -> str:
    """``text`` with escapes for what UTF-8 cannot encode."""
    return text.encode(errors="backslashreplace").decode()


_OTHER_PROTOCOLS = {
    first: f"{who} is connected to the port of the native protocol; gRPC has a port of its own, printed at the start"
    for first, who in (
        (b"PRI ", "an HTTP/2 client, such as gRPC's,"),
        (b"GET ", "an HTTP client"),
        (b"POST", "an HTTP client"),
    )
}
"""Who sends a length that is really the beginning of another protocol."""


class FrameReader:
    """Cuts a byte stream into frames.

    Use: receive into :meth:`get_buffer`, say how much came with :meth:`received`, take frames with :meth:`next_frame`
    until it returns None. Who stops earlier calls :meth:`leave`, and receives nothing more before the rest is taken.

    Many readers of one thread may share a receive buffer: between two receptions a reader keeps only the beginning of
    a frame, at most :data:`SMALL_FRAME_SIZE` bytes, so that idle connections cost nothing. A longer frame that arrives
    in more than one piece gets memory of its own. With ``admit`` that waits, once more than :data:`SMALL_FRAME_SIZE`
    bytes have arrived, for :meth:`begin`, and goes as far as :meth:`extend` allows; while :attr:`waits_for_memory`
    nothing may be received.

    Frames come as ``bytes``, those with memory of their own as a writable ``memoryview``; both stay valid for as long
    as they are referenced. Memory of a long frame is committed by the system as its bytes arrive, so announcing one
    costs nothing.

    Args:
        max_frame_size: longest frame accepted, in bytes, without its length field.
        min_frame_size: shortest one.
        buffer: shared with other readers, of :data:`RECEIVE_BUFFER_SIZE` bytes; None = one of its own.
        admit: whether frames with memory of their own wait for :meth:`begin` and :meth:`extend`.
        memory: where that memory comes from, shared with other readers; None = from the system.

    Attributes:
        max_frame_size: may be changed; holds for frames whose length is read from then on.
        announced: length of a frame that waits for :meth:`begin`, else 0.
        frames: how many frames were taken.
    """

    def __init__(
        self,
        max_frame_size: int,
        min_frame_size: int,
        buffer: memoryview | None = None,
        *,
        admit: bool = False,
        memory: FrameMemory | None = None,
    ) -> None:
        self.max_frame_size = max_frame_size
        self._min_frame_size = min_frame_size
        self._buffer = memoryview(bytearray(RECEIVE_BUFFER_SIZE)) if buffer is None else buffer
        self._admit = admit
        self._memory = memory
        self._view = self._buffer  # holds what is received and not taken: the buffer, or a copy of its rest
        self._start = 0  # first byte of the view not yet taken
        self._end = 0  # first byte of the view not yet received
        self._large: memoryview | None = None  # the frame with memory of its own that is arriving or has arrived
        self._large_filled = 0
        self._large_end = 0  # what may be received of it
        self.announced = 0
        self.frames = 0

    def get_buffer(self) -> memoryview:
        """Where to receive next."""
        if self._large is not None:
            return self._large[self._large_filled : self._large_end]
        rest = self._end - self._start
        if not rest:
            return self._buffer
        # Copied each time, because a reception that brings nothing may be followed by one of another reader.
        self._buffer[:rest] = self._view[self._start : self._end]
        return self._buffer[rest:]

    def received(self, count: int) -> None:
        """``count`` bytes were received into what :meth:`get_buffer` returned."""
        if self._large is not None:
            self._large_filled += count
        else:
            self._end += count - self._start
            self._start = 0
            self._view = self._buffer

    @property
    def idle(self) -> bool:
        """True between two frames: nothing is received that was not taken."""
        return self._large is None and self._start == self._end

    @property
    def waits_for_memory(self) -> bool:
        """True while nothing may be received before :meth:`begin` or :meth:`extend`."""
        large = self._large
        return self.announced > 0 if large is None else self._large_filled == self._large_end < len(large)

    @property
    def received_bytes(self) -> int:
        """Bytes of the frame that is announced or arriving that have arrived."""
        return self._large_filled if self._large is not None else max(self._end - self._start - LENGTH_SIZE, 0)

    @property
    def kept_bytes(self) -> int:
        """Bytes received and not taken, but for those of a frame with memory of its own."""
        return self._end - self._start

    @property
    def arriving_bytes(self) -> int:
        """Length of the frame with memory of its own that is arriving, else 0."""
        return 0 if self._large is None else len(self._large)

    @property
    def ends_with_next_frame(self) -> bool:
        """Whether nothing is received that belongs to a frame after the next one."""
        rest = self._end - self._start
        return rest < LENGTH_SIZE or rest - LENGTH_SIZE <= _LENGTH.unpack_from(self._view, self._start)[0]

    def next_frame(self) -> bytes | memoryview | None:
        """The next whole frame without its length, or None until more is received.

        Raises:
            FlussError: the announced length is outside the bounds (``RECORD_TOO_LARGE_EXCEPTION`` or
                ``CORRUPT_MESSAGE``). Nothing after it can be read; the connection is lost.
        """
        large = self._large
        if large is not None:
            if self._large_filled < len(large):
                return None
            self._large = None
            self.frames += 1
            return large
        start, end = self._start, self._end
        available = end - start - LENGTH_SIZE
        if available < 0:
            self.leave()
            return None
        (length,) = _LENGTH.unpack_from(self._view, start)
        if length > self.max_frame_size or length < self._min_frame_size:
            raise self._bad_length(length)
        if length <= available:
            frame_start = start + LENGTH_SIZE
            self._start = frame_start + length
            self.frames += 1
            return bytes(self._view[frame_start : self._start])
        if length <= SMALL_FRAME_SIZE:
            self.leave()
        elif self._admit:
            if available > SMALL_FRAME_SIZE:
                self.announced = length
            self.leave()
        else:
            self._start_large(length)
        return None

    def begin(self, end: int) -> None:
        """Receive the announced frame into memory of its own, up to ``end``; :meth:`extend` allows more."""
        self._start_large(self.announced)
        self.announced = 0
        self._large_end = end

    def extend(self, end: int) -> None:
        """Receive the arriving frame up to ``end``."""
        self._large_end = end

    def leave(self) -> None:
        """Keep what is not taken outside of the shared buffer."""
        if self._view is self._buffer:
            if self._start < self._end:
                self._view = memoryview(bytes(self._buffer[self._start : self._end]))
            self._start, self._end = 0, self._end - self._start

    def clear(self) -> None:
        """Forget everything; nothing more is received."""
        self._large = None
        self._view = self._buffer
        self._start = self._end = self.announced = 0

    def _start_large(self, length: int) -> None:
        large = memoryview(bytearray(length)) if self._memory is None else self._memory.take(length)
        body = self._view[self._start + LENGTH_SIZE : self._end]
        large[: len(body)] = body
        self._large, self._large_filled, self._large_end = large, len(body), length
        self._view = self._buffer
        self._start = self._end = 0

    def _bad_length(self, length: int) -> FlussError:
        if length > self.max_frame_size:
            return FlussError(
                ErrorCode.RECORD_TOO_LARGE_EXCEPTION,
                f"a frame of {length} bytes was announced, the limit is {self.max_frame_size}",
                hint=_OTHER_PROTOCOLS.get(length.to_bytes(LENGTH_SIZE, "big"))
                or "something that does not use this protocol is connected, or a batch is too large",
            )
        return FlussError(ErrorCode.CORRUPT_MESSAGE, f"a frame of {length} bytes cannot hold its header")
