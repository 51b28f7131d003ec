"""Schemas: ordered columns with stable ids, a primary key, and their JSON form."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count
from typing import Any

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.types import MAX_ID, NESTED_ROOTS, DataType, RowField, TypeRoot

NO_ID = -1

FIRST_SCHEMA_ID = 1
"""Id of the schema that a table is created with."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column.

    Attributes:
        name: unique in its schema.
        type: data type.
        column_id: stable id; never reused in the life of a table.
        comment: text for people, or None.
        agg_function: name of the aggregation function and its parameters, or None.
    """

    name: str
    type: DataType
    column_id: int
    comment: str | None = None
    agg_function: tuple[str, tuple[tuple[str, str], ...]] | None = None


@dataclass(frozen=True)
class Schema:
    """One version of a table's schema.

    Attributes:
        columns: in order.
        primary_key: names of the key columns in declared order; empty for log tables.
        auto_increment_column: name, or None.
        highest_field_id: greatest id given so far, nested ROW fields included; -1 for none.
    """

    columns: tuple[Column, ...]
    primary_key: tuple[str, ...] = ()
    auto_increment_column: str | None = None
    highest_field_id: int = -1

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Column names in order."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def types(self) -> tuple[DataType, ...]:
        """Column types in order."""
        return tuple(column.type for column in self.columns)

    @cached_property
    def primary_key_indexes(self) -> tuple[int, ...]:
        """Positions of the key columns, in the order in which the key declares them."""
        return self.indexes_of(self.primary_key)

    def indexes_of(self, names: Sequence[str]) -> tuple[int, ...]:
        """Positions of columns by name.

        Raises:
            FlussError: ``INVALID_TABLE_EXCEPTION`` for an unknown name.
        """
        positions = {name: index for index, name in enumerate(self.names)}
        try:
            return tuple(positions[name] for name in names)
        except KeyError as error:
            raise _invalid(f"unknown column {error.args[0]!r}; columns are {', '.join(self.names)}") from None

    def to_json(self) -> dict[str, Any]:
        """The document of ``schema_json``."""
        columns = []
        for column in self.columns:
            entry: dict[str, Any] = {"name": column.name, "data_type": column.type.to_json()}
            if column.comment is not None:
                entry["comment"] = column.comment
            if column.agg_function is not None:
                name, parameters = column.agg_function
                entry["agg_function"] = {"type": name}
                if parameters:
                    entry["agg_function"]["parameters"] = dict(parameters)
            entry["id"] = column.column_id
            columns.append(entry)
        document: dict[str, Any] = {"version": 1, "columns": columns}
        if self.primary_key:
            document["primary_key"] = list(self.primary_key)
        if self.auto_increment_column is not None:
            document["auto_increment_column"] = [self.auto_increment_column]
        document["highest_field_id"] = self.highest_field_id
        return document

    def to_json_bytes(self) -> bytes:
        """:meth:`to_json` as UTF-8 without spaces."""
        return json.dumps(self.to_json(), separators=(",", ":"), ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, document: Any) -> Schema:
        """Read a schema document and check that it is consistent; key columns become NOT NULL.

        Raises:
            FlussError: ``INVALID_TABLE_EXCEPTION``.
        """
        if not isinstance(document, Mapping) or not isinstance(document.get("columns"), list):
            raise _invalid("a schema needs a list of columns")
        primary_key = tuple(_names(document, "primary_key"))
        columns = [_column(entry) for entry in document["columns"]]
        _check_names(columns, primary_key)
        columns, highest = _with_ids(columns, document.get("highest_field_id"))
        auto_increment = _auto_increment(document, columns, primary_key)
        for position, column in enumerate(columns):
            if column.name in primary_key:
                if column.agg_function is not None:
                    raise _invalid(f"primary key column {column.name!r} must not have an aggregation function")
                columns[position] = replace(column, type=column.type.with_nullable(False))
        return cls(tuple(columns), primary_key, auto_increment, highest)

    @classmethod
    def from_json_bytes(cls, data: bytes) -> Schema:
        """:meth:`from_json` of UTF-8 text."""
        return cls.from_json(parse_json(data, "schema"))


def append_column(schema: Schema, column: Column) -> Schema:
    """The schema with one more column at the end.

    The column, and every ROW field in its type, get new ids, greater than all that were ever given; those they have are
    not kept.

    Raises:
        FlussError: ``INVALID_TABLE_EXCEPTION`` when there are no ids left.
    """
    free = count(schema.highest_field_id + 1)
    column = replace(column, column_id=next(free), type=_number_fields(_without_ids(column.type), free))
    highest = next(free) - 1
    if highest > MAX_ID:
        raise _invalid(f"there are no ids left for column {column.name!r}")
    return replace(schema, columns=(*schema.columns, column), highest_field_id=highest)


def parse_json(data: bytes, what: str, code: ErrorCode = ErrorCode.INVALID_TABLE_EXCEPTION) -> Any:
    """Parse UTF-8 JSON.

    Raises:
        FlussError: ``code`` when ``data`` is not JSON, or escapes half a surrogate pair, which UTF-8 cannot hold.
    """
    try:
        document = json.loads(data.decode())
        if b"\\u" in data:
            json.dumps(document, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise FlussError(code, f"the {what} is not JSON in UTF-8: {error}") from None
    return document


def _column(entry: Any) -> Column:
    """One entry of ``columns``; the id is -1 when it is not given."""
    if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str) or not entry["name"]:
        raise _invalid(f"a column needs a name and a data type, got {entry!r}")
    name = entry["name"]
    comment = entry.get("comment")
    if not (comment is None or isinstance(comment, str)):
        raise _invalid(f"the comment of column {name!r} must be text")
    column_id = entry.get("id", NO_ID)
    if not _is_integer(column_id) or not NO_ID <= column_id <= MAX_ID:
        raise _invalid(f"bad id {column_id!r} of column {name!r}")
    return Column(name, DataType.from_json(entry.get("data_type")), column_id, comment, _aggregation(name, entry))


def _aggregation(name: str, entry: Mapping[str, Any]) -> tuple[str, tuple[tuple[str, str], ...]] | None:
    aggregation = entry.get("agg_function")
    if aggregation is None:
        return None
    if not isinstance(aggregation, Mapping) or not isinstance(aggregation.get("type"), str):
        raise _invalid(f"bad aggregation function of column {name!r}")
    parameters = aggregation.get("parameters") or {}
    if not isinstance(parameters, Mapping):
        raise _invalid(f"the parameters of the aggregation function of column {name!r} must be an object")
    return aggregation["type"], tuple((str(key), str(value)) for key, value in parameters.items())


def _check_names(columns: Sequence[Column], primary_key: Sequence[str]) -> None:
    names: set[str] = set()
    for column in columns:
        if column.name in names:
            raise _invalid(f"column {column.name!r} is declared twice")
        names.add(column.name)
    for position, name in enumerate(primary_key):
        if name not in names:
            raise _invalid(f"primary key column {name!r} is not a column")
        if name in primary_key[:position]:
            raise _invalid(f"primary key column {name!r} is declared twice")


def _auto_increment(document: Mapping[str, Any], columns: Sequence[Column], primary_key: Sequence[str]) -> str | None:
    names = _names(document, "auto_increment_column")
    if not names:
        return None
    types = {column.name: column.type.root for column in columns}
    if len(names) > 1 or names[0] not in types:
        raise _invalid(f"auto-increment column must be one column of the table, not {names!r}")
    if not primary_key or names[0] in primary_key:
        raise _invalid("an auto-increment column needs a table with a primary key, and may not be part of the key")
    if types[names[0]] not in (TypeRoot.INTEGER, TypeRoot.BIGINT):
        raise _invalid(f"auto-increment column {names[0]!r} must be INT or BIGINT, not {types[names[0]].name}")
    return names[0]


def _with_ids(columns: Sequence[Column], declared: Any) -> tuple[list[Column], int]:
    """Columns in which everything has a unique id, and the greatest id given so far.

    Ids that are there stay. Columns without ids (older writers) are numbered by position; ROW fields without ids get
    the next free ones, depth first.
    """
    given = [column.column_id != NO_ID for column in columns]
    if any(given) and not all(given):
        raise _invalid("either all columns have an id or none")
    if not all(given):
        columns = [replace(column, column_id=position) for position, column in enumerate(columns)]
    ids = [number for column in columns for number in (column.column_id, *_field_ids(column.type)) if number != NO_ID]
    if len(set(ids)) < len(ids):
        raise _invalid("ids of columns and ROW fields must be unique")
    highest = max(ids, default=NO_ID)
    if declared is not None:
        if not _is_integer(declared) or not NO_ID <= declared <= MAX_ID:
            raise _invalid(f"bad highest_field_id {declared!r}")
        highest = max(highest, declared)
    free = count(highest + 1)
    columns = [replace(column, type=_number_fields(column.type, free)) for column in columns]
    return columns, next(free) - 1


def _field_ids(data_type: DataType) -> Iterator[int]:
    for field in data_type.fields:
        yield field.field_id
        yield from _field_ids(field.type)
    for part in (data_type.key, data_type.element):
        if part is not None:
            yield from _field_ids(part)


def _number_fields(data_type: DataType, free: Iterator[int]) -> DataType:
    """The type with ids from ``free`` in every ROW field that has none."""
    if data_type.root not in NESTED_ROOTS or NO_ID not in _field_ids(data_type):
        return data_type
    fields = []
    for field in data_type.fields:
        field_id = next(free) if field.field_id == NO_ID else field.field_id
        fields.append(replace(field, field_id=field_id, type=_number_fields(field.type, free)))
    key = None if data_type.key is None else _number_fields(data_type.key, free)
    element = None if data_type.element is None else _number_fields(data_type.element, free)
    return replace(data_type, fields=tuple(fields), key=key, element=element)


def _without_ids(data_type: DataType) -> DataType:
    """The type with no ids in its ROW fields."""
    if data_type.root not in NESTED_ROOTS:
        return data_type
    return replace(
        data_type,
        fields=tuple(replace(field, field_id=NO_ID, type=_without_ids(field.type)) for field in data_type.fields),
        key=None if data_type.key is None else _without_ids(data_type.key),
        element=None if data_type.element is None else _without_ids(data_type.element),
    )


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _names(document: Mapping[str, Any], key: str) -> list[str]:
    names = document.get(key)
    if names is None:
        return []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _invalid(f"{key} must be a list of column names")
    return names


def _invalid(message: str) -> FlussError:
    return FlussError(ErrorCode.INVALID_TABLE_EXCEPTION, message)


__all__ = ["Column", "DataType", "RowField", "Schema", "append_column", "parse_json"]
