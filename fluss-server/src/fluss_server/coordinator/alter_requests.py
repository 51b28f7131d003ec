"""ALTER_TABLE and ALTER_DATABASE requests, read and checked as far as that goes without knowing the table.

What Fluss has names for but does not do (drop, rename and modify columns, other positions) is refused with
``INVALID_ALTER_TABLE_EXCEPTION``; Apache Fluss returns UNKNOWN_SERVER_ERROR there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from fluss_server.api import messages as pb
from fluss_server.coordinator.alterations import AddedColumn, OptionChanges
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.schema import parse_json
from fluss_server.model.types import DataType

OP_SET, OP_DELETE = 0, 1
POSITION_LAST = 0

_CODE = ErrorCode.INVALID_ALTER_TABLE_EXCEPTION


class TableChanges(NamedTuple):
    """What an ALTER_TABLE requests; at most one of the three."""

    options: OptionChanges | None
    columns: tuple[AddedColumn, ...]
    bucket_count: int | None = None


def table_changes(request: pb.AlterTableRequest) -> TableChanges:
    """Read an ALTER_TABLE.

    Raises:
        FlussError: ``INVALID_ALTER_TABLE_EXCEPTION``.
    """
    options = option_changes(request.config_changes, _CODE) if request.config_changes else None
    columns = tuple(_added_column(column) for column in request.add_columns)
    for names, what in (
        ([column.column_name for column in request.drop_columns], "dropped"),
        ([column.old_column_name for column in request.rename_columns], "renamed"),
        ([column.column_name for column in request.modify_columns], "modified"),
    ):
        if names:
            raise _invalid(f"column {names[0]!r} cannot be {what}", hint="columns can only be added, at the end")
    has_count = request.HasField("modify_bucket_count")
    bucket_count = request.modify_bucket_count.new_bucket_count if has_count else None
    if (options is not None) + bool(columns) + has_count > 1:
        raise _invalid(
            "options, columns and the number of buckets cannot be changed together",
            hint="send one ALTER TABLE for each",
        )
    return TableChanges(options, columns, bucket_count)


def option_changes(changes: Iterable[pb.PbAlterConfig], code: ErrorCode) -> OptionChanges:
    """Read a list of option changes; an error carries ``code``."""
    settings: dict[str, str] = {}
    removals = set()
    for change in changes:
        if change.op_type == OP_SET and change.HasField("config_value"):
            settings[change.config_key] = change.config_value
        elif change.op_type == OP_SET:
            raise FlussError(code, f"{change.config_key!r} is to be set, but there is no value")
        elif change.op_type == OP_DELETE:
            removals.add(change.config_key)
        else:
            raise FlussError(
                code,
                f"{change.config_key!r}: operation {change.op_type} is not possible here",
                hint=f"options can be set ({OP_SET}) and deleted ({OP_DELETE})",
            )
    return OptionChanges(settings, frozenset(removals))


def _added_column(column: pb.PbAddColumn) -> AddedColumn:
    name = column.column_name
    if not name:
        raise _invalid("a new column needs a name")
    if column.column_position_type != POSITION_LAST:
        raise _invalid(f"column {name!r} can only be added at the end")
    try:
        data_type = DataType.from_json(parse_json(column.data_type_json, f"type of column {name!r}"))
    except FlussError as error:
        raise _invalid(error.message) from None
    function = None
    if column.HasField("agg_function_type"):
        parameters = {parameter.key: parameter.value for parameter in column.agg_function_params}
        function = column.agg_function_type.strip().lower().replace("-", "_"), tuple(parameters.items())
    return AddedColumn(name, data_type, column.comment if column.HasField("comment") else None, function)


def _invalid(message: str, hint: str | None = None) -> FlussError:
    return FlussError(_CODE, message, hint=hint)
