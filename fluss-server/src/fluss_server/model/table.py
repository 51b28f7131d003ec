"""Descriptors of databases and tables (what a user declares) and :class:`TableInfo` (what the cluster made of it)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from typing import Any

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.identifiers import TablePath
from fluss_server.model.schema import Schema, parse_json

_MAX_INT = 2**31 - 1


class KvFormat(str, Enum):
    """Encoding of rows in a KvStore (``table.kv.format``)."""

    COMPACTED = "COMPACTED"
    INDEXED = "INDEXED"


class LogFormat(str, Enum):
    """Encoding of log batches (``table.log.format``)."""

    ARROW = "ARROW"
    INDEXED = "INDEXED"
    COMPACTED = "COMPACTED"


class ArrowCompression(str, Enum):
    """Body compression of Arrow batches (``table.log.arrow.compression.type``)."""

    NONE = "NONE"
    LZ4_FRAME = "LZ4_FRAME"
    ZSTD = "ZSTD"


class MergeEngine(str, Enum):
    """How rows with the same key are merged (``table.merge-engine``); DEFAULT when the option is not set."""

    DEFAULT = "default"
    FIRST_ROW = "first_row"
    VERSIONED = "versioned"
    AGGREGATION = "aggregation"


@dataclass(frozen=True)
class DatabaseDescriptor:
    """What a user says of a database."""

    comment: str | None = None
    custom_properties: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = {"version": 1}
        if self.comment is not None:
            document["comment"] = self.comment
        document["custom_properties"] = dict(self.custom_properties)
        return document

    def to_json_bytes(self) -> bytes:
        """:meth:`to_json` as UTF-8 without spaces."""
        return json.dumps(self.to_json(), separators=(",", ":"), ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, document: Any) -> DatabaseDescriptor:
        """Read the document of :meth:`to_json`.

        Raises:
            FlussError: ``INVALID_DATABASE_EXCEPTION``.
        """
        code = ErrorCode.INVALID_DATABASE_EXCEPTION
        if not isinstance(document, Mapping):
            raise FlussError(code, "a database descriptor must be a JSON object")
        comment = document.get("comment")
        if not (comment is None or isinstance(comment, str)):
            raise FlussError(code, "the comment of a database must be text")
        return cls(comment, _text_map(document, "custom_properties", code))

    @classmethod
    def from_json_bytes(cls, data: bytes) -> DatabaseDescriptor:
        """:meth:`from_json` of UTF-8 text."""
        return cls.from_json(parse_json(data, "database descriptor", ErrorCode.INVALID_DATABASE_EXCEPTION))


@dataclass(frozen=True)
class TableDescriptor:
    """What a user says of a table.

    Attributes:
        schema: columns and primary key.
        comment: text for people, or None.
        partition_key: names of the partition columns.
        bucket_key: names of the columns that choose the bucket; empty = none (log tables).
        bucket_count: number of buckets, or None = the server's default.
        properties: options whose keys start with ``table.``.
        custom_properties: everything else; the server keeps it untouched.
    """

    schema: Schema
    comment: str | None = None
    partition_key: tuple[str, ...] = ()
    bucket_key: tuple[str, ...] = ()
    bucket_count: int | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    custom_properties: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The document of ``table_json``."""
        document: dict[str, Any] = {"version": 1, "schema": self.schema.to_json()}
        if self.comment is not None:
            document["comment"] = self.comment
        document["partition_key"] = list(self.partition_key)
        if self.bucket_key or self.bucket_count is not None:
            document["bucket_key"] = list(self.bucket_key)
        if self.bucket_count is not None:
            document["bucket_count"] = self.bucket_count
        document["properties"] = dict(self.properties)
        document["custom_properties"] = dict(self.custom_properties)
        return document

    def to_json_bytes(self) -> bytes:
        """:meth:`to_json` as UTF-8 without spaces."""
        return json.dumps(self.to_json(), separators=(",", ":"), ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, document: Any) -> TableDescriptor:
        """Read a descriptor and check that its parts are consistent.

        For a primary-key table without bucket key, the bucket key becomes the primary key minus the partition columns.

        Raises:
            FlussError: ``INVALID_TABLE_EXCEPTION``.
        """
        if not isinstance(document, Mapping):
            raise _invalid("a table descriptor must be a JSON object")
        schema = Schema.from_json(document.get("schema"))
        partition_key = _name_list(document, "partition_key", schema)
        bucket_key = _name_list(document, "bucket_key", schema)
        comment = document.get("comment")
        if not (comment is None or isinstance(comment, str)):
            raise _invalid("the comment of a table must be text")
        bucket_count = document.get("bucket_count")
        if bucket_count is not None and (type(bucket_count) is not int or not 1 <= bucket_count <= _MAX_INT):
            raise _invalid(f"bucket_count must be a positive number, not {bucket_count!r}")
        for name in bucket_key:
            if name in partition_key:
                raise _invalid(f"bucket key column {name!r} must not be a partition column")
        if schema.primary_key:
            physical = tuple(name for name in schema.primary_key if name not in partition_key)
            for name in partition_key:
                if name not in schema.primary_key:
                    raise _invalid(f"partition column {name!r} must be part of the primary key")
            if not physical:
                raise _invalid("the primary key must have a column that is not a partition column")
            bucket_key = bucket_key or physical
            for name in bucket_key:
                if name not in physical:
                    raise _invalid(
                        f"bucket key column {name!r} must be part of the primary key minus the partition columns"
                    )
        return cls(
            schema,
            comment,
            partition_key,
            bucket_key,
            bucket_count,
            _text_map(document, "properties"),
            _text_map(document, "custom_properties"),
        )

    @classmethod
    def from_json_bytes(cls, data: bytes) -> TableDescriptor:
        """:meth:`from_json` of UTF-8 text."""
        return cls.from_json(parse_json(data, "table descriptor"))

    def with_properties(self, properties: Mapping[str, str]) -> TableDescriptor:
        """The same descriptor with other ``table.*`` options."""
        return replace(self, properties=dict(properties))


@dataclass(frozen=True)
class TableInfo:
    """A table as the cluster knows it: a complete descriptor with its ids.

    Attributes:
        path: database and name.
        table_id: id in the cluster, never reused.
        schema_id: version of ``descriptor.schema``, from 1.
        descriptor: with all defaults applied; ``bucket_count`` is set.
        created_time: epoch milliseconds.
        modified_time: epoch milliseconds.
        bucket_count_epoch: how often the number of buckets was changed; partitions keep the one that they began with.
    """

    path: TablePath
    table_id: int
    schema_id: int
    descriptor: TableDescriptor
    created_time: int
    modified_time: int
    bucket_count_epoch: int = 0

    @property
    def schema(self) -> Schema:
        return self.descriptor.schema

    @property
    def has_primary_key(self) -> bool:
        return bool(self.descriptor.schema.primary_key)

    @property
    def is_partitioned(self) -> bool:
        return bool(self.descriptor.partition_key)

    @property
    def bucket_count(self) -> int:
        """Of a table without partitions, or of partitions that are created now."""
        assert self.descriptor.bucket_count is not None, "defaults are applied before a TableInfo is made"
        return self.descriptor.bucket_count

    @cached_property
    def physical_primary_key(self) -> tuple[str, ...]:
        """Primary key minus partition columns: the columns of a key in the KvStore, in declared order."""
        return tuple(name for name in self.schema.primary_key if name not in self.descriptor.partition_key)

    @cached_property
    def descriptor_json(self) -> bytes:
        """``descriptor.to_json_bytes()``, kept because every client requests it again and again."""
        return self.descriptor.to_json_bytes()

    @property
    def log_format(self) -> LogFormat:
        return LogFormat(self.descriptor.properties.get("table.log.format", "ARROW").upper())

    @property
    def kv_format(self) -> KvFormat:
        return KvFormat(self.descriptor.properties.get("table.kv.format", "COMPACTED").upper())

    @property
    def merge_engine(self) -> MergeEngine:
        return MergeEngine(self.descriptor.properties.get("table.merge-engine", MergeEngine.DEFAULT).lower())

    @property
    def auto_increment_cache_size(self) -> int:
        """Ids that a bucket reserves at a time."""
        return int(self.descriptor.properties.get("table.auto-increment.cache-size", "100000"))

    @property
    def arrow_compression(self) -> ArrowCompression:
        return ArrowCompression(self.descriptor.properties.get("table.log.arrow.compression.type", "ZSTD").upper())

    @property
    def arrow_compression_level(self) -> int:
        """ZSTD level, 1 to 22."""
        return int(self.descriptor.properties.get("table.log.arrow.compression.zstd.level", "3"))


def _name_list(document: Mapping[str, Any], key: str, schema: Schema) -> tuple[str, ...]:
    names = document.get(key)
    if names is None:
        return ()
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _invalid(f"{key} must be a list of column names")
    for name in names:
        if name not in schema.names:
            raise _invalid(f"{key} column {name!r} is not a column; columns are {', '.join(schema.names)}")
        if names.count(name) > 1:
            raise _invalid(f"{key} column {name!r} is named twice")
    return tuple(names)


def _text_map(
    document: Mapping[str, Any], key: str, code: ErrorCode = ErrorCode.INVALID_TABLE_EXCEPTION
) -> dict[str, str]:
    entries = document.get(key)
    if entries is None:
        return {}
    if not isinstance(entries, Mapping) or not all(isinstance(value, str) for value in entries.values()):
        raise FlussError(code, f"{key} must map text to text")
    return dict(entries)


def _invalid(message: str) -> FlussError:
    return FlussError(ErrorCode.INVALID_TABLE_EXCEPTION, message)
