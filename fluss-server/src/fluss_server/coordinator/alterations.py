"""What an ALTER makes of a table or a database. Pure.

A change of a table is either of its options or of its columns (docs/tables.md). Columns can only be
added, at the end and nullable: so every row of an older schema is a row of the newest one with nulls after it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from fluss_server.config import TABLE_OPTIONS
from fluss_server.config.option import nearest_key
from fluss_server.coordinator.option_rules import check_functions
from fluss_server.coordinator.standbys import STANDBY_ENABLED
from fluss_server.coordinator.validation import (
    OPTION_PREFIX,
    TableSettings,
    check_bucket_count,
    check_column_names,
    check_definition_size,
    check_descriptor,
    table_options,
)
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.schema import Column, Schema, append_column
from fluss_server.model.table import DatabaseDescriptor, MergeEngine, TableDescriptor, TableInfo
from fluss_server.model.types import DataType

MAX_SCHEMA_ID = 2**15 - 1
"""Batches and stored rows name their schema in two bytes."""

_LAKE_PREFIX = "table.datalake."
_LAKE_ENABLED = "table.datalake.enabled"


@dataclass(frozen=True, slots=True)
class OptionChanges:
    """Options to set and to take away; a key in both is taken away."""

    settings: Mapping[str, str] = field(default_factory=dict)
    removals: frozenset[str] = frozenset()

    @property
    def keys(self) -> frozenset[str]:
        return self.removals | self.settings.keys()

    def apply(self, properties: Mapping[str, str], *, of_the_system: bool | None = None) -> dict[str, str]:
        """The properties after the changes; ``of_the_system`` picks those with the prefix ``table.``, or the others."""
        added = {
            key: value
            for key, value in self.settings.items()
            if of_the_system is None or key.startswith(OPTION_PREFIX) is of_the_system
        }
        return {key: value for key, value in {**properties, **added}.items() if key not in self.removals}


class AddedColumn(NamedTuple):
    """A column to append; ``agg_function`` as in :class:`Column`. Ids in the type are not kept."""

    name: str
    type: DataType
    comment: str | None = None
    agg_function: tuple[str, tuple[tuple[str, str], ...]] | None = None


def change_options(table: TableInfo, changes: OptionChanges, settings: TableSettings) -> TableDescriptor:
    """The definition of a table with other options; the same when nothing changes.

    Raises:
        FlussError: ``INVALID_ALTER_TABLE_EXCEPTION`` for options that must stay as they are; what
            :func:`check_descriptor` raises for the result.
    """
    _check_alterable(table, changes)
    before = table.descriptor
    after = replace(
        before,
        properties=changes.apply(before.properties, of_the_system=True),
        custom_properties=changes.apply(before.custom_properties, of_the_system=False),
    )
    if after == before:
        return before
    if after.properties.get(_LAKE_ENABLED, "").strip().lower() == "true":
        raise _invalid(f"{_LAKE_ENABLED} = true: this cluster has no data lake")
    check_descriptor(after, settings)
    return after


def add_columns(table: TableInfo, additions: Sequence[AddedColumn]) -> TableDescriptor:
    """The definition of a table with more columns.

    Raises:
        FlussError: ``INVALID_ALTER_TABLE_EXCEPTION`` for a name that exists, a column that is NOT NULL, or too many
            versions; ``INVALID_TABLE_EXCEPTION`` for a reserved name or when the definition becomes too large;
            ``INVALID_CONFIG_EXCEPTION`` for an aggregation function that does not suit its column.
    """
    schema: Schema = table.schema
    for added in additions:
        if added.name in schema.names:
            raise _invalid(f"column {added.name!r} exists already")
        if not added.type.nullable:
            raise _invalid(
                f"the new column {added.name!r} is NOT NULL, but rows that are there have no value for it",
                hint="add it without NOT NULL",
            )
        schema = append_column(schema, Column(added.name, added.type, -1, added.comment, added.agg_function))
    if table.schema_id >= MAX_SCHEMA_ID:
        raise _invalid(f"the schema has changed {MAX_SCHEMA_ID} times, which is the limit")
    check_column_names(schema)
    check_functions(schema, table_options(table.descriptor.properties))
    descriptor = replace(table.descriptor, schema=schema)
    check_definition_size(descriptor)
    return descriptor


def change_bucket_count(table: TableInfo, bucket_count: int, settings: TableSettings) -> TableDescriptor:
    """The definition of a table whose partitions have another number of buckets from now on.

    Raises:
        FlussError: ``INVALID_ALTER_TABLE_EXCEPTION`` for a table without partitions, one that aggregates, or a number
            that is not positive; ``BUCKET_MAX_NUM_EXCEPTION`` above ``max.bucket.num``.
    """
    if not table.is_partitioned:
        raise _invalid(
            f"table {table.path} has no partitions, so that its number of buckets cannot be changed",
            hint="create a new table and copy the rows",
        )
    if table.merge_engine is MergeEngine.AGGREGATION:
        raise _invalid("the number of buckets of an aggregation table cannot be changed")
    if bucket_count < 1:
        raise _invalid(f"{bucket_count} buckets are not possible")
    after = replace(table.descriptor, bucket_count=bucket_count)
    check_bucket_count(after, settings)
    return after


def change_database(before: DatabaseDescriptor, changes: OptionChanges, comment: str | None) -> DatabaseDescriptor:
    """The definition of a database after an ALTER.

    Args:
        comment: None = unchanged, empty = none.
    """
    new_comment = before.comment if comment is None else comment or None
    return DatabaseDescriptor(new_comment, changes.apply(before.custom_properties))


def _check_alterable(table: TableInfo, changes: OptionChanges) -> None:
    of_the_system = [key for key in sorted(changes.keys) if key.startswith(OPTION_PREFIX)]
    for key in of_the_system:
        option = TABLE_OPTIONS.get(key)
        if option is None:
            near = nearest_key(TABLE_OPTIONS, key)
            raise _invalid(f"unknown option {key!r}", hint=f"did you mean {near!r}?" if near else None)
        if not option.dynamic:
            raise _invalid(
                f"{key} cannot be changed after the table was created",
                hint=f"create a new table with it; changeable are {', '.join(_changeable())}",
            )
    if STANDBY_ENABLED in of_the_system and not table.has_primary_key:
        raise _invalid(f"{STANDBY_ENABLED} needs a table with a primary key")
    lake = [key for key in of_the_system if key.startswith(_LAKE_PREFIX)]
    if not lake or table.descriptor.properties.get("table.datalake.format") is not None:
        return
    keyless = not table.has_primary_key and not table.descriptor.bucket_key
    if not (keyless and lake == [_LAKE_ENABLED]):
        raise _invalid(
            f"{', '.join(lake)}: the table was created when the cluster had no data lake", hint="create a new table"
        )


def _changeable() -> list[str]:
    return [option.key for option in TABLE_OPTIONS.values() if option.dynamic]


def _invalid(message: str, hint: str | None = None) -> FlussError:
    return FlussError(ErrorCode.INVALID_ALTER_TABLE_EXCEPTION, message, hint=hint)
