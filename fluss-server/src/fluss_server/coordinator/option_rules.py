"""Which options of a table go together, and which the server sets by itself. Pure.

Rules and codes are those of Apache Fluss (docs/tables.md). What single values may be is in
``config/table_options.py``.
"""

from __future__ import annotations

from collections.abc import Mapping

from fluss_server.config import Configuration
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.aggregation import check_agg_function
from fluss_server.model.schema import Schema
from fluss_server.model.types import TypeRoot

KV_FORMAT_VERSION = 2
"""Version of the encoding of keys of new tables."""

_MERGE_ENGINE = "table.merge-engine"
_VERSION_COLUMN = "table.merge-engine.versioned.ver-column"
_DELETE_BEHAVIOR = "table.delete.behavior"
_STATISTICS = "table.statistics.columns"

_VERSION_TYPES = frozenset({TypeRoot.INTEGER, TypeRoot.BIGINT, TypeRoot.TIMESTAMP, TypeRoot.TIMESTAMP_LTZ})
_NO_STATISTICS = frozenset({TypeRoot.BINARY, TypeRoot.BYTES, TypeRoot.ARRAY, TypeRoot.MAP, TypeRoot.ROW})


def default_properties(has_primary_key: bool, properties: Mapping[str, str]) -> dict[str, str]:
    """Options that the server adds to a new table unless they are set."""
    if not has_primary_key:
        return {}
    defaults = {"table.kv.format-version": str(KV_FORMAT_VERSION), "table.kv.standby-replica.enabled": "true"}
    if _MERGE_ENGINE in properties:
        defaults[_DELETE_BEHAVIOR] = "IGNORE"
    return defaults


def check_options(schema: Schema, options: Configuration) -> None:
    """Refuse options that exclude each other or do not match the columns.

    Raises:
        FlussError: ``INVALID_CONFIG_EXCEPTION``.
    """
    _check_formats(schema, options)
    check_functions(schema, options)
    _check_merge_engine(schema, options)
    _check_deletes(schema, options)
    _check_retention(options)
    _check_statistics(schema, options)


def check_functions(schema: Schema, options: Configuration) -> None:
    """``INVALID_CONFIG_EXCEPTION`` unless the columns may have their aggregation functions in this table."""
    aggregates = options.get(_MERGE_ENGINE) == "aggregation"
    for column in schema.columns:
        if column.agg_function is None:
            continue
        if aggregates:
            name, parameters = column.agg_function
            check_agg_function(column.name, column.type, name, dict(parameters))
        else:
            raise _invalid(
                f"column {column.name!r} has the aggregation function {column.agg_function[0]}, but the table does not "
                "aggregate",
                hint=f"set {_MERGE_ENGINE} = aggregation, or leave out the function",
            )


def _check_formats(schema: Schema, options: Configuration) -> None:
    if options.get("table.datalake.format") == "hudi" and options.get("table.kv.format-version") == 1:
        raise _invalid(
            "table.kv.format-version = 1 does not go with table.datalake.format = hudi: a Hudi key is a hash, which "
            "cannot identify a row",
            hint="leave out table.kv.format-version",
        )
    log_format = options.get_str("table.log.format")
    if schema.primary_key and options.get_str("table.kv.format") == "COMPACTED" and log_format == "INDEXED":
        raise _invalid(
            "table.log.format = INDEXED needs table.kv.format = INDEXED in a table with a primary key",
            hint="use ARROW or COMPACTED",
        )


def _check_merge_engine(schema: Schema, options: Configuration) -> None:
    engine = options.get(_MERGE_ENGINE)
    if engine is None:
        return
    if not schema.primary_key:
        raise _invalid(f"{_MERGE_ENGINE} needs a table with a primary key", hint=f"leave out {_MERGE_ENGINE}")
    if engine == "versioned":
        _check_version_column(schema, options)
    if engine == "aggregation" and options.get_str("table.changelog.image") == "WAL":
        raise _invalid(
            f"{_MERGE_ENGINE} = aggregation does not go with table.changelog.image = WAL: undoing a write after a "
            "failure needs the rows before it",
            hint="leave out table.changelog.image",
        )


def _check_version_column(schema: Schema, options: Configuration) -> None:
    name = options.get(_VERSION_COLUMN)
    if name is None:
        raise _invalid(f"{_MERGE_ENGINE} = versioned needs {_VERSION_COLUMN}")
    types = dict(zip(schema.names, schema.types, strict=True))
    if name not in types:
        raise _invalid(f"{_VERSION_COLUMN} = {name}: there is no such column", hint=f"columns: {', '.join(types)}")
    if types[str(name)].root not in _VERSION_TYPES:
        raise _invalid(
            f"{_VERSION_COLUMN} = {name} has the type {types[str(name)]}; it must be INT, BIGINT, TIMESTAMP or "
            "TIMESTAMP_LTZ"
        )


def _check_deletes(schema: Schema, options: Configuration) -> None:
    if not options.is_given(_DELETE_BEHAVIOR):
        return
    if not schema.primary_key:
        raise _invalid(f"{_DELETE_BEHAVIOR} needs a table with a primary key", hint=f"leave out {_DELETE_BEHAVIOR}")
    engine = options.get(_MERGE_ENGINE)
    if engine in ("first_row", "versioned") and options.get_str(_DELETE_BEHAVIOR) == "ALLOW":
        raise _invalid(f"{_MERGE_ENGINE} = {engine} cannot delete rows", hint=f"set {_DELETE_BEHAVIOR} to IGNORE")


def _check_retention(options: Configuration) -> None:
    if options.get("table.log.local-ttl") is not None:
        local_ttl_ms, ttl_ms = options.get_int("table.log.local-ttl"), options.get_int("table.log.ttl")
        if 0 < ttl_ms < local_ttl_ms:
            raise _invalid("table.log.local-ttl must not be more than table.log.ttl")


def _check_statistics(schema: Schema, options: Configuration) -> None:
    value = options.get(_STATISTICS)
    if value is None:
        return
    if schema.primary_key:
        raise _invalid(f"{_STATISTICS} is not possible in a table with a primary key", hint=f"leave out {_STATISTICS}")
    names = [name for part in str(value).split(",") if (name := part.strip())]
    if names == ["*"]:
        return
    if not names:
        raise _invalid(f"{_STATISTICS} names no columns", hint="write '*' for all, or leave it out")
    types = dict(zip(schema.names, schema.types, strict=True))
    for name in names:
        if name not in types:
            raise _invalid(f"{_STATISTICS}: there is no column {name!r}", hint=f"columns: {', '.join(types)}")
        if types[name].root in _NO_STATISTICS:
            raise _invalid(f"{_STATISTICS}: there are no statistics of {types[name]}, the type of column {name!r}")


def _invalid(message: str, hint: str | None = None) -> FlussError:
    return FlussError(ErrorCode.INVALID_CONFIG_EXCEPTION, message, hint=hint)
