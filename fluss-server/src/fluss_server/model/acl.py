"""Access control entries: who may do what with which resource.

Numbers and names are those of the protocol and of the metadata tree of Apache Fluss.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import NamedTuple

from fluss_server.model.identifiers import TablePath
from fluss_server.model.principal import Principal

ANY_NAME = "*"
"""Name, type or host that stands for all."""

ANYBODY = Principal(ANY_NAME, ANY_NAME)
"""The principal of an entry that is for everybody, also the anonymous."""


class ResourceType(IntEnum):
    """What an entry is about; ``ANY`` in filters only."""

    ANY = 1
    CLUSTER = 2
    DATABASE = 3
    TABLE = 4


class Operation(IntEnum):
    """What is done; ``ANY`` in filters only."""

    ANY = 1
    ALL = 2
    READ = 3
    WRITE = 4
    CREATE = 5
    DROP = 6
    ALTER = 7
    DESCRIBE = 8


class Permission(IntEnum):
    """There is nothing but ``ALLOW``; ``ANY`` in filters only."""

    ANY = 1
    ALLOW = 2


_SUFFICIENT: dict[Operation, frozenset[Operation]] = {
    operation: frozenset({operation, Operation.ALL}) for operation in Operation if operation is not Operation.ANY
}
_SUFFICIENT[Operation.DESCRIBE] = frozenset(Operation) - {Operation.ANY}
SUFFICIENT: Mapping[Operation, frozenset[Operation]] = MappingProxyType(_SUFFICIENT)
"""For each operation those that an entry may have to allow it: itself, ``ALL``, and for ``DESCRIBE`` every other."""


class Resource(NamedTuple):
    """A resource.

    Attributes:
        type: what it is.
        name: ``fluss-cluster``, a database, ``database.table``, or ``*`` for all of the type.
    """

    type: ResourceType
    name: str

    def __str__(self) -> str:
        return f"Resource{{type={self.type.name}, name='{self.name}'}}"

    @classmethod
    def database(cls, name: str) -> Resource:
        return cls(ResourceType.DATABASE, name)

    @classmethod
    def table(cls, path: TablePath) -> Resource:
        return cls(ResourceType.TABLE, f"{path.database}.{path.table}")

    def enclosing(self) -> tuple[Resource, ...]:
        """Itself and what it lies in: entries on any of them count for it."""
        if self.type is ResourceType.TABLE:
            return self, Resource.database(self.name.partition(".")[0]), CLUSTER
        if self.type is ResourceType.DATABASE:
            return self, CLUSTER
        return (self,)


CLUSTER = Resource(ResourceType.CLUSTER, "fluss-cluster")


class AclEntry(NamedTuple):
    """One ACL entry: a permission on a resource.

    Attributes:
        principal: who, :data:`ANYBODY` for all.
        host: address the client must come from, ``*`` for any.
        operation: what is allowed.
        permission: ``ALLOW``.
    """

    principal: Principal
    host: str
    operation: Operation
    permission: Permission = Permission.ALLOW


class AclBinding(NamedTuple):
    """An entry with its resource."""

    resource: Resource
    entry: AclEntry


@dataclass(frozen=True, slots=True)
class AclFilter:
    """Selects bindings; what is None or ``ANY`` matches everything. The name counts only with a type.

    Attributes:
        resource_type: type of the resource.
        resource_name: exact name, ``*`` is a name like any other.
        principal_type: exact.
        principal_name: exact.
        host: exact.
        operation: exact, without implications.
        permission: exact.
    """

    resource_type: ResourceType = ResourceType.ANY
    resource_name: str | None = None
    principal_type: str | None = None
    principal_name: str | None = None
    host: str | None = None
    operation: Operation = Operation.ANY
    permission: Permission = Permission.ANY

    def matches_resource(self, resource: Resource) -> bool:
        """True for the resources that this is about."""
        if self.resource_type is ResourceType.ANY:
            return True
        return self.resource_type is resource.type and self.resource_name in (None, resource.name)

    def matches_entry(self, entry: AclEntry) -> bool:
        """True for the entries that this is about."""
        return (
            self.principal_type in (None, entry.principal.type)
            and self.principal_name in (None, entry.principal.name)
            and self.host in (None, entry.host)
            and self.operation in (Operation.ANY, entry.operation)
            and self.permission in (Permission.ANY, entry.permission)
        )
