"""Names and ids of partitions.

A partition is named by the values of the partition columns, as text, in the order of the partition key and joined with
``$``: ``2024-01-01$eu``. Clients turn typed values into text; what they may look like is said here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.identifiers import name_characters_problem, name_problem
from fluss_server.model.types import TypeRoot

SEPARATOR = "$"
MAX_PARTITION_NAME_LENGTH = 220
"""Characters; the name is part of a directory name, which may have 255."""

HISTORICAL = "__historical__"
"""Value of the partition that stands for all partitions in the data lake; no user can create it."""

PARTITION_KEY_TYPES = frozenset(
    {
        TypeRoot.CHAR,
        TypeRoot.STRING,
        TypeRoot.BOOLEAN,
        TypeRoot.BINARY,
        TypeRoot.BYTES,
        TypeRoot.TINYINT,
        TypeRoot.SMALLINT,
        TypeRoot.INTEGER,
        TypeRoot.BIGINT,
        TypeRoot.DATE,
        TypeRoot.TIME,
        TypeRoot.FLOAT,
        TypeRoot.DOUBLE,
        TypeRoot.TIMESTAMP,
        TypeRoot.TIMESTAMP_LTZ,
    }
)
"""Types that have a text form that can be part of a name."""


class PartitionInfo(NamedTuple):
    """A partition as the cluster knows it.

    Attributes:
        table_id: its table.
        partition_id: id in the cluster, never reused.
        name: values joined with ``$``.
    """

    table_id: int
    partition_id: int
    name: str

    @property
    def values(self) -> tuple[str, ...]:
        """Values in the order of the partition key."""
        return tuple(self.name.split(SEPARATOR))


def partition_name(partition_key: Sequence[str], spec: Mapping[str, str], *, for_creation: bool) -> str:
    """Name of the partition that a full specification means.

    Args:
        partition_key: partition columns of the table.
        spec: value of each of them.
        for_creation: refuse what is reserved, too.

    Raises:
        FlussError: ``PARTITION_SPEC_INVALID_EXCEPTION``.
    """
    if set(spec) != set(partition_key):
        raise _invalid(
            f"a partition is given by values of {', '.join(partition_key)}, not of {', '.join(spec) or 'nothing'}"
        )
    values = [spec[name] for name in partition_key]
    for value in values:
        if problem := (name_problem if for_creation else name_characters_problem)(value):
            raise _invalid(f"bad partition value {value!r}", hint=problem)
    name = SEPARATOR.join(values)
    if for_creation and len(name) > MAX_PARTITION_NAME_LENGTH:
        raise _invalid(f"the partition values have {len(name)} characters, more than {MAX_PARTITION_NAME_LENGTH}")
    return name


def check_partial_spec(partition_key: Sequence[str], spec: Mapping[str, str]) -> None:
    """``PARTITION_SPEC_INVALID_EXCEPTION`` when ``spec`` has a column that is not a partition column."""
    for name in spec:
        if name not in partition_key:
            raise _invalid(f"{name!r} is not a partition column; those are {', '.join(partition_key)}")


def matches(partition_key: Sequence[str], partition: PartitionInfo, spec: Mapping[str, str]) -> bool:
    """Whether a partition has the values that a partial specification requires."""
    return not spec or all(
        spec.get(column, value) == value for column, value in zip(partition_key, partition.values, strict=False)
    )


def _invalid(message: str, hint: str | None = None) -> FlussError:
    return FlussError(ErrorCode.PARTITION_SPEC_INVALID_EXCEPTION, message, hint=hint)
