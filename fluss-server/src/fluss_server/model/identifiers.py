"""Names and ids of tables and buckets."""

from __future__ import annotations

import re
from typing import NamedTuple

from fluss_server.errors import ErrorCode, FlussError

MAX_NAME_LENGTH = 200
_NAME = re.compile(r"[A-Za-z0-9_-]{1,200}\Z")
RESERVED_PREFIX = "__"

DEFAULT_DATABASE = "fluss"
"""Exists always and cannot be dropped; clients use it when they name none."""


class TablePath(NamedTuple):
    """Database and name of a table."""

    database: str
    table: str

    def __str__(self) -> str:
        return f"{self.database}.{self.table}"


class TableBucket(NamedTuple):
    """One bucket of a table or of one of its partitions."""

    table_id: int
    partition_id: int | None
    bucket: int

    def __str__(self) -> str:
        if self.partition_id is None:
            return f"{self.table_id}/{self.bucket}"
        return f"{self.table_id}/p{self.partition_id}/{self.bucket}"


def name_characters_problem(name: str) -> str | None:
    """Why ``name`` cannot be a name at all, or None if it can."""
    if name in (".", ".."):
        return "'.' and '..' are not allowed"
    if not _NAME.match(name):
        return f"use 1 to {MAX_NAME_LENGTH} ASCII letters, digits, '_' or '-'"
    return None


def name_problem(name: str) -> str | None:
    """Why a user cannot call a database, table or partition value ``name``, or None if it is allowed."""
    if problem := name_characters_problem(name):
        return problem
    if name.startswith(RESERVED_PREFIX):
        return f"the prefix {RESERVED_PREFIX!r} is reserved"
    return None


def check_database_name(name: str) -> None:
    """``INVALID_DATABASE_EXCEPTION`` unless ``name`` may name a database."""
    if problem := name_problem(name):
        raise FlussError(ErrorCode.INVALID_DATABASE_EXCEPTION, f"bad database name {name!r}", hint=problem)


def check_table_path(path: TablePath) -> None:
    """``INVALID_DATABASE_EXCEPTION`` or ``INVALID_TABLE_EXCEPTION`` unless both names are allowed."""
    check_database_name(path.database)
    if problem := name_problem(path.table):
        raise FlussError(ErrorCode.INVALID_TABLE_EXCEPTION, f"bad table name {path.table!r}", hint=problem)


def no_partition(path: TablePath, qualified_name: str) -> FlussError:
    """The error for a partition that does not exist, in the words by which clients of Apache Fluss know it.

    Args:
        path: of the table.
        qualified_name: ``key=value/key2=value2``, or only the values where the keys are not known.
    """
    return FlussError(
        ErrorCode.PARTITION_NOT_EXISTS,
        f"Partition '{qualified_name}' does not exist for table {path}",
        hint="LIST_PARTITION_INFOS shows the partitions of a table",
    )


def no_partition_with_id(partition_id: int) -> FlussError:
    """The same for an id."""
    return FlussError(ErrorCode.PARTITION_NOT_EXISTS, f"Partition with id {partition_id} does not exist")
