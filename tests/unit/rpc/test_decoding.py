"""What is checked once for the requests of all APIs: text, names, padding, size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fluss_server
from fluss_server.api import messages as pb
from fluss_server.api.keys import API_SPECS, ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.rpc.decoding import MAX_NAME_LENGTH, MessageDecoder
from fluss_server.rpc.frames import REQUEST_HEADER_SIZE
from fluss_server.rpc.service import Handler

BAD_TEXT = b"bad\xfftext"
GOOD_TEXT = "gut: \u00fc \U0001f600"
MARK = "MARKED-TEXT"  # as long as the others need
UNREAD = "original_partition_name"
BULK = (ApiKey.PRODUCE_LOG, ApiKey.PUT_KV)  # read by codecs of their own, which skip the one text field they have


def is_repeated(field: Any) -> bool:
    return bool(field.is_repeated if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED)


def paths_to_text(descriptor: Any, depth: int = 6) -> Iterator[list[Any]]:
    """Every way from a message to a text field in it."""
    for field in descriptor.fields:
        if field.type == field.TYPE_STRING and field.name != UNREAD:
            yield [field]
        elif field.message_type is not None and depth:
            for path in paths_to_text(field.message_type, depth - 1):
                yield [field, *path]


def fill_required(message: Any) -> None:
    for field in message.DESCRIPTOR.fields:
        if is_repeated(field) or not field.is_required if hasattr(field, "is_required") else field.label != 2:
            continue
        if field.message_type is not None:
            getattr(message, field.name).SetInParent()
            fill_required(getattr(message, field.name))
        elif field.type == field.TYPE_STRING:
            setattr(message, field.name, "x")
        elif field.type == field.TYPE_BYTES:
            setattr(message, field.name, b"x")
        else:
            setattr(message, field.name, 1)


def request_with(key: ApiKey, path: list[Any], text: str) -> bytes:
    """A request whose text field at the end of ``path`` is ``text``."""
    message: Any = API_SPECS[key].request()
    fill_required(message)
    inner = message
    for field in path[:-1]:
        inner = getattr(inner, field.name).add() if is_repeated(field) else getattr(inner, field.name)
        inner.SetInParent()
        fill_required(inner)
    last = path[-1]
    if is_repeated(last):
        getattr(inner, last.name).append(text)
    else:
        setattr(inner, last.name, text)
    return bytes(message.SerializeToString())


def decode(key: ApiKey, body: bytes) -> Any:
    return MessageDecoder(API_SPECS[key])(bytes(REQUEST_HEADER_SIZE) + body)


CASES = [
    pytest.param(key, path, id=f"{key.name} {'.'.join(field.name for field in path)}")
    for key, spec in API_SPECS.items()
    if key not in BULK
    for path in paths_to_text(spec.request.DESCRIPTOR)
]


def test_text_that_is_not_checked_is_not_read() -> None:
    sources = Path(fluss_server.__file__).parent.rglob("*.py")
    assert [path.name for path in sources if UNREAD in path.read_text()] == ["decoding.py"]


def test_there_are_many_text_fields() -> None:
    assert len(CASES) > 80
    assert len({case.values[0] for case in CASES}) > 35


@pytest.mark.parametrize(("key", "path"), CASES)
def test_text_that_is_not_utf8_is_refused(key: ApiKey, path: list[Any]) -> None:
    good = request_with(key, path, MARK)
    decode(key, good)
    decode(key, request_with(key, path, GOOD_TEXT))
    bad = good.replace(MARK.encode(), BAD_TEXT.ljust(len(MARK), b"x"))
    assert bad != good
    with pytest.raises(FlussError) as raised:
        decode(key, bad)
    assert raised.value.code is ErrorCode.CORRUPT_MESSAGE


@pytest.mark.parametrize(("key", "path"), CASES)
def test_long_names_are_refused_long_values_are_not(key: ApiKey, path: list[Any]) -> None:
    decode(key, request_with(key, path, "n" * MAX_NAME_LENGTH))
    long = request_with(key, path, "n" * (MAX_NAME_LENGTH + 1))
    if path[-1].name in ("config_value", "comment", "value", "string_value"):
        decode(key, long)
        return
    with pytest.raises(FlussError, match=f"{path[-1].name} has {MAX_NAME_LENGTH + 1} characters") as raised:
        decode(key, long)
    assert raised.value.code is not ErrorCode.UNKNOWN_SERVER_ERROR
    assert not raised.value.retriable


def test_padding_is_bounded() -> None:
    request = pb.FetchLogRequest(follower_server_id=-1, max_bytes=1, min_bytes=1, max_wait_ms=60_000)
    body = request.SerializeToString()
    unknown = b"\xfa\x3f"  # field 1023, bytes
    decode(ApiKey.FETCH_LOG, body + unknown + b"\x80\x10" + bytes(2048))
    for padding in (unknown + b"\x80\x80\x04" + bytes(65536), (unknown + b"\x00") * 20_000):
        with pytest.raises(FlussError, match="bytes of known fields") as raised:
            decode(ApiKey.FETCH_LOG, body + padding)
        assert raised.value.code is ErrorCode.RECORD_TOO_LARGE_EXCEPTION
    nested = pb.FetchLogRequest(follower_server_id=-1, max_bytes=1)
    nested.tables_req.add(table_id=1, projection_pushdown_enabled=False)
    inner = nested.tables_req[0].SerializeToString() + unknown + b"\x80\x80\x04" + bytes(65536)
    head = pb.FetchLogRequest(follower_server_id=-1, max_bytes=1).SerializeToString()
    (field,) = [field for field in pb.FetchLogRequest.DESCRIPTOR.fields if field.name == "tables_req"]
    length = bytes((len(inner) & 0x7F | 0x80, len(inner) >> 7 & 0x7F | 0x80, len(inner) >> 14))
    with pytest.raises(FlussError, match="bytes of known fields"):
        decode(ApiKey.FETCH_LOG, head + bytes((field.number << 3 | 2,)) + length + inner)


def test_long_requests_of_known_fields_are_decoded() -> None:
    request = pb.LookupRequest(table_id=1)
    request.buckets_req.add(bucket_id=0).keys.extend(bytes((n % 256,)) * 9 for n in range(100_000))
    assert len(decode(ApiKey.LOOKUP, request.SerializeToString()).buckets_req[0].keys) == 100_000


def test_every_api_has_a_bound_of_its_size() -> None:
    for spec in API_SPECS.values():
        handler = Handler(spec, lambda request, context: [], lambda frame: frame)
        limit = 4 << 20
        bound = spec.max_request_bytes if spec.between_servers else min(limit, spec.max_request_bytes)
        assert bound >= 64 << 10
        handler.check_size(bound, limit)
        with pytest.raises(FlussError, match=f"the limit is {bound}") as raised:
            handler.check_size(bound + 1, limit)
        assert raised.value.code is ErrorCode.RECORD_TOO_LARGE_EXCEPTION
    assert API_SPECS[ApiKey.TABLE_EXISTS].max_request_bytes == 64 << 10
