"""What a table may look like, and what the server fills in. Pure.

The checks, their order and their codes are those of Apache Fluss (``INVALID_TABLE_EXCEPTION`` for the structure of a
table, ``INVALID_CONFIG_EXCEPTION`` for its options), and :func:`_check_supported` for what is not
supported yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from fluss_server.config import TABLE_OPTIONS, Configuration
from fluss_server.coordinator.option_rules import check_options, default_properties
from fluss_server.coordinator.partition_rules import check_partitioning, default_partition_properties
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.table_keys import bucket_key_encoder, primary_key_encoder
from fluss_server.metadata.store import MAX_VALUE_BYTES
from fluss_server.model.schema import Schema
from fluss_server.model.table import DatabaseDescriptor, TableDescriptor
from fluss_server.model.types import NESTED_ROOTS

SYSTEM_COLUMNS = ("__offset", "__timestamp", "__bucket", "_change_type", "_log_offset", "_commit_timestamp")
"""Columns that readers may request besides those of the table."""

OPTION_PREFIX = "table."
"""Keys that begin with it are options of the table; all others are custom properties."""

_SIZE_MARGIN_BYTES = 4096  # ids, times and names that a stored record has beside the descriptor


class TableSettings(NamedTuple):
    """Defaults and limits for new tables.

    Attributes:
        default_bucket_count: for descriptors without one.
        default_replication_factor: for tables without ``table.replication.factor``.
        max_bucket_count: most buckets of one table.
        allow_log_tables: whether tables without primary key may be created.
        allow_kv_tables: whether tables with primary key may be created.
    """

    default_bucket_count: int = 1
    default_replication_factor: int = 1
    max_bucket_count: int = 4096
    allow_log_tables: bool = True
    allow_kv_tables: bool = True


def check_creation_allowed(descriptor: TableDescriptor, settings: TableSettings) -> None:
    """``INVALID_TABLE_EXCEPTION`` when this cluster allows no new tables of this kind."""
    has_primary_key = bool(descriptor.schema.primary_key)
    if not (settings.allow_kv_tables if has_primary_key else settings.allow_log_tables):
        kind = "with" if has_primary_key else "without"
        option = f"allow.create.{'kv' if has_primary_key else 'log'}.tables"
        raise _invalid_table(f"this cluster does not allow tables {kind} primary key", hint=f"{option} is false")


def complete_descriptor(descriptor: TableDescriptor, settings: TableSettings) -> TableDescriptor:
    """The descriptor with everything filled in that a user may leave out: clients see it so."""
    properties = dict(descriptor.properties)
    properties.setdefault("table.replication.factor", str(settings.default_replication_factor))
    defaults = {
        **default_properties(bool(descriptor.schema.primary_key), properties),
        **default_partition_properties(descriptor.partition_key, properties),
    }
    for key, value in defaults.items():
        properties.setdefault(key, value)
    bucket_count = descriptor.bucket_count or settings.default_bucket_count
    return replace(descriptor, bucket_count=bucket_count, properties=properties)


def check_database_descriptor(descriptor: DatabaseDescriptor) -> None:
    """``INVALID_DATABASE_EXCEPTION`` when it is too large to be stored."""
    size = len(descriptor.to_json_bytes()) + _SIZE_MARGIN_BYTES
    if size > MAX_VALUE_BYTES:
        raise FlussError(
            ErrorCode.INVALID_DATABASE_EXCEPTION,
            f"the definition of the database has {size} bytes, more than {MAX_VALUE_BYTES}",
        )


def check_descriptor(descriptor: TableDescriptor, settings: TableSettings) -> None:
    """Refuse a completed descriptor that no table can be made of. Ranges of single options are in ``config``.

    Raises:
        FlussError: ``INVALID_TABLE_EXCEPTION``, ``INVALID_CONFIG_EXCEPTION`` or ``BUCKET_MAX_NUM_EXCEPTION``.
    """
    options = table_options(descriptor.properties)
    _check_buckets_and_keys(descriptor, settings)
    check_options(descriptor.schema, options)
    check_column_names(descriptor.schema)
    check_partitioning(descriptor, options)
    _check_supported(descriptor, options)
    check_definition_size(descriptor)


def replication_factor(descriptor: TableDescriptor) -> int:
    """Replicas of each bucket of a table with a completed and checked descriptor."""
    return int(descriptor.properties["table.replication.factor"])


def table_options(properties: Mapping[str, str]) -> Configuration:
    """The checked ``table.*`` options; ``INVALID_CONFIG_EXCEPTION``."""
    for key in properties:
        if not key.startswith(OPTION_PREFIX):
            raise FlussError(
                ErrorCode.INVALID_CONFIG_EXCEPTION,
                f"{key!r} is not an option of tables, which all begin with {OPTION_PREFIX!r}",
                hint="put your own keys into the custom properties",
            )
    return Configuration(TABLE_OPTIONS, properties)


def check_column_names(schema: Schema) -> None:
    """``INVALID_TABLE_EXCEPTION`` for a name that is reserved."""
    for name in schema.names:
        if name in SYSTEM_COLUMNS:
            raise _invalid_table(
                f"column name {name!r} is reserved", hint=f"reserved names are {', '.join(SYSTEM_COLUMNS)}"
            )


def check_definition_size(descriptor: TableDescriptor) -> None:
    """``INVALID_TABLE_EXCEPTION`` when it is too large to be stored."""
    size = len(descriptor.to_json_bytes()) + _SIZE_MARGIN_BYTES
    if size > MAX_VALUE_BYTES:
        raise _invalid_table(f"the definition of the table has {size} bytes, more than {MAX_VALUE_BYTES}")


def check_bucket_count(descriptor: TableDescriptor, settings: TableSettings) -> None:
    """``BUCKET_MAX_NUM_EXCEPTION`` when there are too many."""
    bucket_count = descriptor.bucket_count
    assert bucket_count is not None, "the descriptor is complete"
    if bucket_count > settings.max_bucket_count:
        raise FlussError(
            ErrorCode.BUCKET_MAX_NUM_EXCEPTION,
            f"{bucket_count} buckets are more than the limit of {settings.max_bucket_count}",
            hint="use fewer buckets, or raise max.bucket.num of the server",
        )


def _check_buckets_and_keys(descriptor: TableDescriptor, settings: TableSettings) -> None:
    check_bucket_count(descriptor, settings)
    schema = descriptor.schema
    for kind, names in (("bucket key", descriptor.bucket_key), ("primary key", schema.primary_key)):
        for index in schema.indexes_of(names):
            if schema.types[index].root in NESTED_ROOTS:
                raise _invalid_table(
                    f"{kind} column {schema.names[index]!r} has type {schema.types[index]}; "
                    "ARRAY, MAP and ROW cannot be keys"
                )
    if descriptor.bucket_key:
        bucket_key_encoder(descriptor)
    if schema.primary_key:
        primary_key_encoder(descriptor)


def _check_supported(descriptor: TableDescriptor, options: Configuration) -> None:
    """Refuse what Apache Fluss has and this version has not."""
    if options.get_bool("table.datalake.enabled"):
        raise _invalid_table(
            "table.datalake.enabled = true: this cluster has no data lake", hint="leave out table.datalake.enabled"
        )
    if options.get_bool("table.datalake.historical-partition.enabled"):
        raise _invalid_option(
            "table.datalake.historical-partition.enabled = true: this cluster has no data lake",
            hint="leave out table.datalake.historical-partition.enabled",
        )


def _invalid_table(message: str, hint: str | None = None) -> FlussError:
    return FlussError(ErrorCode.INVALID_TABLE_EXCEPTION, message, hint=hint)


def _invalid_option(message: str, hint: str | None = None) -> FlussError:
    return FlussError(ErrorCode.INVALID_CONFIG_EXCEPTION, message, hint=hint)
