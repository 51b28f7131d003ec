"""Requests of every API with valid, extreme and senseless fields, and what a client may do to their bytes."""

from __future__ import annotations

import copy
import json
import random
import re
import struct
from typing import Any

from fluss_server.api import messages as pb
from fluss_server.api.keys import API_SPECS, ApiKey
from fluss_server.config import SERVER_OPTIONS, TABLE_OPTIONS
from fluss_server.formats.kv_batch import build_kv_batch
from fluss_server.rpc.client import RpcClient
from fluss_server.rpc.wire import varint
from table_rpc import COLUMNS, create_from, descriptor, log_batch

TABLES = ("plain", "keyed", "daily", "daily_keyed", "counted")
UNTOUCHED = (
    ApiKey.API_VERSIONS,  # the client's own, and the next one
    ApiKey.AUTHENTICATE,
    ApiKey.ADD_SERVER_TAG,  # a tag on the only server leaves none for the tables of others
)
INT_EDGES = (0, 1, 2, 3, 7, 100, -1, -2, 127, 128, 2**31 - 1, -(2**31))
LONG_EDGES = (*INT_EDGES, 2**32, 2**62, 2**63 - 1, -(2**63), 1_700_000_000_000)
TEXTS: tuple[str, ...] = (
    "",
    "fluss",
    "fuzz",
    "missing",
    *TABLES,
    "p",
    "id",
    "v",
    "2024",
    "20240101",
    "a.b",
    "*",
    "$",
    "x" * 300,
    "ü",
)
TEXTS += ("\0", "..", "/", " ", "User", "bob", "fluss-cluster", "fluss.keyed", "127.0.0.1", "SUM", "1", "-1", "true")
SMALL_FIELDS = ("bucket_id", "partition_id", "schema_id", "acks", "fetch_offset")
KEYS = (*SERVER_OPTIONS, *TABLE_OPTIONS, "my.own", "table.unknown", "", "kv.")
VALUES = ("", "0", "1", "-1", "true", "no", "10 min", "1gb", "9" * 30, "0.5", "a:b,c:d", "ARROW", "{", "ü")
TYPES = ("INTEGER", "BIGINT", "STRING", "DECIMAL", "TIMESTAMP_WITHOUT_TIME_ZONE", "ARRAY", "MAP", "ROW", "NOPE", "")


SHUTTING_KEYS = frozenset(
    {
        "server.data-disk.write-limit-ratio",
        "server.data-disk.write-recover-ratio",
        "security.sasl.plain.credentials",
        "super.users",
    }
)
"""Options that an administrator may set so that others are rightly refused: not where others are expected to work."""


class Fuzz:
    """Makes requests.

    Args:
        rng: of all choices.

    Attributes:
        table_ids: that requests are about; :func:`prepare` sets them.
    """

    def __init__(self, rng: random.Random) -> None:
        self._random = rng
        self.table_ids = [0]

    def request(self, key: ApiKey) -> bytes:
        """The encoding of a request, now and then with some bytes changed."""
        message = API_SPECS[key].request()
        self._fill(message, 0)
        data = bytearray(message.SerializePartialToString())
        if data and self._random.random() < 0.1:
            for _ in range(self._random.randrange(1, 4)):
                data[self._random.randrange(len(data))] = self._random.randrange(256)
        return bytes(data)

    def key(self) -> ApiKey:
        return self._random.choice([key for key in ApiKey if key not in UNTOUCHED])

    def bad_request(self, key: ApiKey) -> bytes:
        """The encoding of a request, with one thing done to its bytes that no library does."""
        data = self.request(key)
        rng = self._random
        kind = rng.randrange(8)
        if kind == 0:  # a field that nobody knows: a number, or bytes
            return data + (varint(5_000 << 3) + varint(rng.getrandbits(60)) if rng.random() < 0.5 else _padding(rng))
        if kind == 1:  # cut off
            return data[: rng.randrange(len(data) + 1)]
        if kind == 2:  # the same fields many times
            return data * rng.choice((2, 50, 1_000))
        if kind == 3:  # text that is not UTF-8
            return re.sub(rb"[a-z]{3}", lambda found: found[0][:1] + b"\xff\xc0", data, count=rng.randint(1, 3))
        if kind == 4:  # an impossible length
            at = rng.randrange(len(data) + 1)
            return data[:at] + b"\x0a\xff\xff\xff\xff\x0f" + data[at:]
        if kind == 5:  # deeply nested
            return data + b"\x0a" + varint(2 * 120) + b"\x0b\x0b" * 120
        if kind == 6:  # noise
            return rng.randbytes(rng.choice((1, 10, 1_000)))
        at = rng.randrange(len(data) + 1)
        return data[:at] + rng.randbytes(rng.randint(1, 4)) + data[at + rng.randint(0, 4) :]

    def _fill(self, message: Any, depth: int) -> None:
        for field in message.DESCRIPTOR.fields:
            repeated = field.is_repeated if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED
            required = field.is_required if hasattr(field, "is_required") else field.label == field.LABEL_REQUIRED
            if repeated:
                for _ in range(self._random.choice((0, 1, 1, 2, 3)) if depth < 4 else 0):
                    if field.message_type is not None:
                        self._fill(getattr(message, field.name).add(), depth + 1)
                    else:
                        getattr(message, field.name).append(self._value(field))
            elif (required and self._random.random() < 0.99) or (not required and self._random.random() < 0.5):
                if field.message_type is not None:
                    getattr(message, field.name).SetInParent()
                    if depth < 8:
                        self._fill(getattr(message, field.name), depth + 1)
                else:
                    setattr(message, field.name, self._value(field))

    def _value(self, field: Any) -> Any:
        pick = self._random.choice
        if field.type == field.TYPE_BOOL:
            return pick((True, False))
        if field.type == field.TYPE_STRING:
            return self._text(field.name)
        if field.type == field.TYPE_BYTES:
            return self._bytes(field.name)
        if field.type in (field.TYPE_DOUBLE, field.TYPE_FLOAT):
            return pick((0.0, -1.5, float("nan"), float("inf"), 1e300 if field.type == field.TYPE_DOUBLE else 1e30))
        if field.name == "table_id" and self._random.random() < 0.9:
            return pick(self.table_ids)
        if (
            field.name in ("bucket_id", "partition_id", "schema_id", "acks", "fetch_offset")
            and self._random.random() < 0.8
        ):
            return pick((0, 0, 1, -1))
        if field.name in ("max_wait_ms", "timeout_ms"):
            return pick((0, 1, 50, -1))
        return pick(INT_EDGES if field.type == field.TYPE_INT32 else LONG_EDGES)

    def _text(self, name: str) -> str:
        pick = self._random.choice
        if name == "database_name" and self._random.random() < 0.8:
            return pick(("fluss", "fuzz"))
        if name == "table_name" and self._random.random() < 0.8:
            return pick(TABLES)
        if name == "config_key":
            return pick([key for key in KEYS if key not in SHUTTING_KEYS])
        if name == "config_value":
            return pick(VALUES)
        return pick(TEXTS)

    def _bytes(self, name: str) -> bytes:
        pick = self._random.choice
        if name.endswith("_json"):
            return self._json(name)
        if name == "records":
            data = pick((log_batch(0, 2), bytes(build_kv_batch(1, [(b"\x05", None), (b"\x06", b"x")])), b"", b"?"))
            damaged = bytearray(data)
            if damaged and self._random.random() < 0.5:
                damaged[self._random.randrange(len(damaged))] ^= 1 << self._random.randrange(8)
            return bytes(damaged)
        return pick((b"", b"x", b"\xff\xfe", struct.pack("<q", 5), self._random.randbytes(40)))

    def _json(self, name: str) -> bytes:
        kind = {"type": self._random.choice(TYPES), "nullable": self._random.choice((True, False, "x", None))}
        document: Any = copy.deepcopy(descriptor(self._random.choice((None, ["id"], ["v"], ["nope"]))))
        if name == "database_json":
            document = {"version": 1, "comment": "c", "custom_properties": {"a": "b"}}
        elif name == "data_type_json":
            document = kind
        for _ in range(self._random.choice((0, 1, 2))):
            self._change(document, kind)
        if self._random.random() < 0.05:
            return self._random.choice((b"", b"{", b"[]", b"null", b"\xff", b'"\\ud800"', b"[" * 5000, b"1e999"))
        return json.dumps(document).encode()

    def _change(self, document: Any, kind: Any) -> None:
        """Replace one member, however deep, by something else."""
        pick = self._random.choice
        while isinstance(document, (dict, list)) and document:
            name = pick(list(document)) if isinstance(document, dict) else self._random.randrange(len(document))
            if isinstance(document[name], (dict, list)) and document[name] and self._random.random() < 0.6:
                document = document[name]
                continue
            value = pick(
                (
                    None,
                    0,
                    -1,
                    2**70,
                    1.5,
                    "",
                    "x",
                    "\ud800",
                    "id",
                    [],
                    {},
                    [1],
                    ["id", "id"],
                    kind,
                    [kind],
                    True,
                    {"table.replication.factor": "1"},
                    {"table.auto-partition.enabled": "true"},
                    {"a": 1},
                    3,
                )
            )
            document[name] = copy.deepcopy(value)
            return


def _padding(rng: random.Random) -> bytes:
    size = rng.choice((10, 5_000, 100_000))
    return varint(6_000 << 3 | 2) + varint(size) + bytes(size)


def codes_in(message: Any) -> list[tuple[int, str]]:
    """Every code with its text in a response."""
    found = []
    for field, value in message.ListFields():
        if field.name == "error_code":
            found.append((value, message.error_message if "error_message" in message.DESCRIPTOR.fields_by_name else ""))
        elif field.message_type is not None:
            for inner in [value] if hasattr(value, "ListFields") else value:
                found += codes_in(inner)
    return found


async def prepare(client: RpcClient, fuzz: Fuzz) -> None:
    """The tables that requests are about, as far as they are missing."""
    for database in ("fuzz",):
        await client.call(
            ApiKey.CREATE_DATABASE, pb.CreateDatabaseRequest(database_name=database, ignore_if_exists=True)
        )
    day = {"name": "p", "data_type": {"type": "STRING", "nullable": False}, "id": 2}
    partitioned = {"version": 1, "columns": [*COLUMNS, day], "highest_field_id": 2}
    counter = {"name": "n", "data_type": {"type": "INTEGER"}, "id": 2}
    counted = {"version": 1, "columns": [*COLUMNS, counter], "highest_field_id": 2, "primary_key": ["id"],
               "auto_increment_column": ["n"]}  # fmt: skip
    documents = {
        "plain": descriptor(),
        "keyed": descriptor(["id"]),
        "daily": descriptor(schema=partitioned, partition_key=["p"]),
        "daily_keyed": descriptor(
            schema=partitioned | {"primary_key": ["id", "p"]}, partition_key=["p"], bucket_key=["id"]
        ),
        "counted": descriptor(schema=counted, bucket_key=["id"], properties={"table.auto-increment.cache-size": "10"}),
    }
    table_ids = []
    for name, document in documents.items():
        path = pb.PbTablePath(database_name="fluss", table_name=name)
        if not (await client.call(ApiKey.TABLE_EXISTS, pb.TableExistsRequest(table_path=path))).exists:
            await create_from(client, name, document)
        info = await client.call(ApiKey.GET_TABLE_INFO, pb.GetTableInfoRequest(table_path=path))
        table_ids.append(info.table_id)
    fuzz.table_ids = table_ids
