"""What the partition columns and the ``table.auto-partition.*`` options of a table may be. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fluss_server.config import TABLE_OPTIONS, Configuration
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.partition import PARTITION_KEY_TYPES
from fluss_server.model.table import TableDescriptor, TableInfo
from fluss_server.model.types import TypeRoot

if TYPE_CHECKING:
    from datetime import tzinfo

    from fluss_server.coordinator.partition_time import AutoPartitionStrategy

_PREFIX = "table.auto-partition."
_DATE_PATTERN = "yyyy-MM-dd"


def default_partition_properties(partition_key: Sequence[str], properties: Mapping[str, str]) -> dict[str, str]:
    """Options that the server adds: with several partition columns it cannot know which partitions to create."""
    if len(partition_key) > 1 and _is_enabled(properties):
        return {f"{_PREFIX}num-precreate": "0"}
    return {}


def is_auto_partitioned(table: TableInfo) -> bool:
    """Whether partitions of the table come and go by themselves."""
    return table.is_partitioned and _is_enabled(table.descriptor.properties)


def _is_enabled(properties: Mapping[str, str]) -> bool:
    return properties.get(f"{_PREFIX}enabled", "").strip().lower() == "true"


def strategy_of(table: TableInfo, default_zone: tzinfo) -> AutoPartitionStrategy:
    """The strategy of a partitioned table; its options were checked when it was created.

    Args:
        table: partitioned.
        default_zone: time zone of the names unless the table gives one.
    """
    from fluss_server.coordinator.partition_time import AutoPartitionStrategy  # most servers have no such table

    properties = {key: value for key, value in table.descriptor.properties.items() if key.startswith(_PREFIX)}
    options = Configuration(TABLE_OPTIONS, properties)
    return AutoPartitionStrategy.of(options, table.descriptor.partition_key, default_zone)


def check_partitioning(descriptor: TableDescriptor, options: Configuration) -> None:
    """Refuse partition columns and options that do not go together.

    Raises:
        FlussError: ``INVALID_TABLE_EXCEPTION``, or ``INVALID_CONFIG_EXCEPTION`` for a table without partitions and for
            a bad time zone.
    """
    key = descriptor.partition_key
    if not key:
        if options.get_bool(f"{_PREFIX}enabled"):
            raise FlussError(
                ErrorCode.INVALID_CONFIG_EXCEPTION,
                f"{_PREFIX}enabled needs a partitioned table",
                hint=f"leave out {_PREFIX}enabled, or add PARTITIONED BY",
            )
        return
    types = _types(descriptor)
    for name in key:
        if types[name] not in PARTITION_KEY_TYPES:
            raise _invalid(
                f"partition column {name!r} has type {types[name].value}; DECIMAL, ARRAY, MAP and ROW cannot be "
                "partition columns"
            )
    from fluss_server.coordinator.partition_time import AutoPartitionStrategy

    strategy = AutoPartitionStrategy.of(options, key)
    try:
        _ = strategy.format  # made to be checked
    except ValueError as error:
        raise _invalid(f"{_PREFIX}time-format: {error}") from None
    if strategy.enabled:
        _check_enabled(key, options, strategy, types)


def _check_enabled(
    key: Sequence[str], options: Configuration, strategy: AutoPartitionStrategy, types: Mapping[str, TypeRoot]
) -> None:
    time_column = options.get(f"{_PREFIX}key")
    if len(key) > 1:
        if not str(time_column or "").strip():
            raise _invalid(
                f"there are several partition columns, but {_PREFIX}key does not say which of them is the time",
                hint=f"set {_PREFIX}key to one of {', '.join(key)}",
            )
        if strategy.precreate > 0:
            raise _invalid(
                f"{_PREFIX}num-precreate must be 0 for a table with several partition columns, not {strategy.precreate}"
            )
    if time_column is not None and str(time_column).strip() and time_column not in key:
        raise _invalid(f"{_PREFIX}key = {time_column}: the partition columns are {', '.join(key)}")
    if types[key[strategy.key_index]] is TypeRoot.DATE:
        if not strategy.is_daily:
            raise _invalid(f"{_PREFIX}time-unit must be DAY for the DATE column {key[strategy.key_index]!r}")
        if strategy.pattern != _DATE_PATTERN:
            raise _invalid(
                f"{_PREFIX}time-format must be {_DATE_PATTERN} for the DATE column {key[strategy.key_index]!r}"
            )


def _types(descriptor: TableDescriptor) -> dict[str, TypeRoot]:
    schema = descriptor.schema
    return {name: data_type.root for name, data_type in zip(schema.names, schema.types, strict=True)}


def _invalid(message: str, hint: str | None = None) -> FlussError:
    return FlussError(ErrorCode.INVALID_TABLE_EXCEPTION, message, hint=hint)
