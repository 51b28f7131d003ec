"""Whether a principal may do something, from the entries there are; no I/O, no time, no cache.

An operation on a resource is allowed when some ``ALLOW`` entry

* lies on the resource, on what encloses it (table in database in cluster), or on ``*`` of the resource's own type
  (``*`` of databases does not reach tables: grant on the cluster instead);
* is for the principal or for ``*:*``;
* is for the client's address or for ``*``;
* allows the operation, or ``ALL``, or, when the operation is ``DESCRIBE``, any other operation.

Everything else is denied. Super users may do everything.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Iterator, Mapping

from fluss_server.model.acl import (
    ANY_NAME,
    ANYBODY,
    SUFFICIENT,
    AclEntry,
    Operation,
    Permission,
    Resource,
)
from fluss_server.model.principal import Principal


class AclEvaluator:
    """The entries of all resources, arranged for evaluation.

    Args:
        super_users: may do everything.
        ignore_case: principals that differ in case only are the same.

    Attributes:
        entry_count: entries of all resources.
    """

    def __init__(self, super_users: Collection[Principal] = (), *, ignore_case: bool = False) -> None:
        self._ignore_case = ignore_case
        self._super_users = {self._key(principal) for principal in super_users}
        self._entries: dict[Resource, frozenset[AclEntry]] = {}
        self.entry_count = 0
        self._operations: dict[Resource, dict[tuple[Principal, str], frozenset[Operation]]] = {}

    @property
    def entries(self) -> Mapping[Resource, frozenset[AclEntry]]:
        """Entries by resource; no resource is without any."""
        return self._entries

    def is_super_user(self, principal: Principal) -> bool:
        """Whether a principal may do everything."""
        return self._key(principal) in self._super_users

    def replace(self, resource: Resource, entries: Collection[AclEntry]) -> None:
        """Make ``entries`` the entries of a resource."""
        self.entry_count += len(set(entries)) - len(self._entries.get(resource, ()))
        if not entries:
            self._entries.pop(resource, None)
            self._operations.pop(resource, None)
            return
        operations: dict[tuple[Principal, str], set[Operation]] = {}
        for entry in entries:
            if entry.permission is Permission.ALLOW:
                key = (self._key(entry.principal), canonical_host(entry.host))
                operations.setdefault(key, set()).add(entry.operation)
        self._entries[resource] = frozenset(entries)
        self._operations[resource] = {key: frozenset(granted) for key, granted in operations.items()}

    def empty(self) -> AclEvaluator:
        """Another one for the same super users, without entries."""
        found = AclEvaluator(ignore_case=self._ignore_case)
        found._super_users = self._super_users
        return found

    def take_over(self, other: AclEvaluator, resources: Iterable[Resource]) -> None:
        """Make the entries of some resources those of another evaluator; a matter of microseconds for each of them."""
        for resource in resources:
            self.entry_count += len(other._entries.get(resource, ())) - len(self._entries.get(resource, ()))
            if resource in other._entries:
                self._entries[resource] = other._entries[resource]
                self._operations[resource] = other._operations[resource]
            else:
                self._entries.pop(resource, None)
                self._operations.pop(resource, None)

    def allows(self, principal: Principal, host: str, operation: Operation, resource: Resource) -> bool:
        """The decision.

        Args:
            principal: the caller.
            host: address of the client.
            operation: not ``ANY``.
            resource: of the type CLUSTER, DATABASE or TABLE.
        """
        who = self._key(principal)
        if who in self._super_users:
            return True
        sufficient = SUFFICIENT[operation]
        keys = [(name, where) for name in (who, ANYBODY) for where in (canonical_host(host), ANY_NAME)]
        return any(
            not sufficient.isdisjoint(granted[key])
            for granted in self._granted(resource)
            for key in keys
            if key in granted
        )

    def _granted(self, resource: Resource) -> Iterator[dict[tuple[Principal, str], frozenset[Operation]]]:
        for place in (*resource.enclosing(), Resource(resource.type, ANY_NAME)):
            if (granted := self._operations.get(place)) is not None:
                yield granted

    def _key(self, principal: Principal) -> Principal:
        if self._ignore_case:
            return Principal(principal.type.casefold(), principal.name.casefold())
        return principal


def canonical_host(host: str) -> str:
    """The one way in which an address is written here; anything else stays as it is."""
    try:
        return ipaddress.ip_address(host).compressed
    except ValueError:
        return host
