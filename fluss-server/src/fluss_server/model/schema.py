"""Schemas: ordered columns with stable ids, a primary key, and their JSON form."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.types import DataType, RowField, TypeRoot


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
        with_ids = all(isinstance(entry, Mapping) and "id" in entry for entry in document["columns"])
        columns = []
        for position, entry in enumerate(document["columns"]):
            column = _column(entry, position if not with_ids else None)
            if column.name in primary_key and column.type.nullable:
                column = Column(
                    column.name, column.type.with_nullable(False), column.column_id, column.comment, column.agg_function
                )
            columns.append(column)
        names = [column.name for column in columns]
        if not columns:
            raise _invalid("a table needs at least one column")
        for name in names:
            if names.count(name) > 1:
                raise _invalid(f"column {name!r} is declared twice")
        for name in primary_key:
            if name not in names:
                raise _invalid(f"primary key column {name!r} is not a column")
            if primary_key.count(name) > 1:
                raise _invalid(f"primary key column {name!r} is declared twice")
        auto = _names(document, "auto_increment_column")
        if len(auto) > 1 or any(name not in names for name in auto):
            raise _invalid(f"auto-increment column must be one column of the table, not {auto!r}")
        highest = max((_highest_id(column.column_id, column.type) for column in columns), default=-1)
        declared = document.get("highest_field_id", highest)
        if not isinstance(declared, int):
            raise _invalid("highest_field_id must be an integer")
        return cls(tuple(columns), primary_key, auto[0] if auto else None, max(highest, declared))

    @classmethod
    def from_json_bytes(cls, data: bytes) -> Schema:
        """:meth:`from_json` of UTF-8 text."""
        return cls.from_json(parse_json(data, "schema"))


def parse_json(data: bytes, what: str) -> Any:
    """Parse UTF-8 JSON; ``INVALID_TABLE_EXCEPTION`` when it is not JSON."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _invalid(f"the {what} is not JSON: {error}") from None


def _column(entry: Any, fallback_id: int | None) -> Column:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str) or not entry["name"]:
        raise _invalid(f"a column needs a name and a data type, got {entry!r}")
    comment = entry.get("comment")
    column_id = entry.get("id") if fallback_id is None else fallback_id
    if not (comment is None or isinstance(comment, str)) or not isinstance(column_id, int):
        raise _invalid(f"bad comment or id of column {entry['name']!r}")
    aggregation = entry.get("agg_function")
    agg_function = None
    if aggregation is not None:
        if not isinstance(aggregation, Mapping) or not isinstance(aggregation.get("type"), str):
            raise _invalid(f"bad aggregation function of column {entry['name']!r}")
        parameters = aggregation.get("parameters") or {}
        agg_function = (aggregation["type"], tuple((str(k), str(v)) for k, v in parameters.items()))
    return Column(entry["name"], DataType.from_json(entry.get("data_type")), column_id, comment, agg_function)


def _names(document: Mapping[str, Any], key: str) -> list[str]:
    names = document.get(key) or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _invalid(f"{key} must be a list of column names")
    return names


def _highest_id(own: int, data_type: DataType) -> int:
    """Greatest id among a column and the ROW fields nested in it."""
    if data_type.root is TypeRoot.ROW:
        return max([own, *(_highest_id(field.field_id, field.type) for field in data_type.fields)])
    inner = [part for part in (data_type.key, data_type.element) if part is not None]
    return max([own, *(_highest_id(-1, part) for part in inner)])


def _invalid(message: str) -> FlussError:
    return FlussError(ErrorCode.INVALID_TABLE_EXCEPTION, message)


__all__ = ["Column", "DataType", "RowField", "Schema", "parse_json"]
