"""The access control entries of a cluster: kept in the metadata store, evaluated from memory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.acl_records import acl_path, acls_of_type_path, decode_acls, encode_acls
from fluss_server.metadata.store import Create, Delete, MetadataStore, Set, StoreOperation, missing_parents
from fluss_server.metadata.tasks import UninterruptedTasks
from fluss_server.model.acl import (
    ANY_NAME,
    CLUSTER,
    AclBinding,
    AclEntry,
    AclFilter,
    Operation,
    Resource,
    ResourceType,
)
from fluss_server.model.identifiers import TablePath, check_database_name, check_table_path
from fluss_server.model.principal import Principal
from fluss_server.security.acl_decisions import AclDecisions

logger = logging.getLogger(__name__)

MAX_ENTRIES_PER_RESOURCE = 2_000
MAX_ENTRIES = 200_000
"""Of all resources: every server has all of them in memory, and gets them from the coordinator when it starts."""

MAX_BINDINGS_PER_REQUEST = 10_000
MAX_WORD_LENGTH = 255
"""Longest principal type, principal name or host of an entry; bounds the size of a resource's metadata node."""


class Authorizer(AclDecisions):
    """Decides, and changes what it decides from.

    Changes are made one at a time, are durable when they return, and
    a change that has begun ends even if its caller is cancelled. This object must be the only writer of its part of
    the tree. Call :meth:`load` first.

    Args:
        store: where the entries are.
        super_users: may do everything.
        ignore_case: principals that differ in case only are the same.
        distribute: called after a change with the resources whose entries are others, and awaited before the change
            returns: other servers have them then, or it raises.
    """

    def __init__(
        self,
        store: MetadataStore,
        super_users: Collection[Principal] = (),
        *,
        ignore_case: bool = False,
        distribute: Callable[[Collection[Resource]], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(super_users, ignore_case=ignore_case)
        self._store = store
        self._distribute = distribute
        self._lock = asyncio.Lock()
        self._tasks = UninterruptedTasks()

    async def load(self) -> None:
        """Read all entries.

        Raises:
            FlussError: ``UNKNOWN_SERVER_ERROR`` when a node cannot be read; ``STORAGE_EXCEPTION``.
        """
        for resource_type in (ResourceType.CLUSTER, ResourceType.DATABASE, ResourceType.TABLE):
            parent = acls_of_type_path(resource_type)
            if await self._store.get(parent) is None:
                continue
            for name in await self._store.children(parent):
                resource = Resource(resource_type, name)
                node = await self._store.get(acl_path(resource))
                if node is not None:
                    self._evaluator.replace(resource, decode_acls(acl_path(resource), node.value))

    async def close(self) -> None:
        """Wait for changes that have begun."""
        await self._tasks.wait()

    @property
    def entries(self) -> Mapping[Resource, frozenset[AclEntry]]:
        """All entries by resource."""
        return self._evaluator.entries

    def select(self, selection: AclFilter, principal: Principal, host: str) -> list[AclBinding]:
        """The matching entries on resources that the client may describe."""
        return [
            AclBinding(resource, entry)
            for resource, entries in sorted(self._evaluator.entries.items())
            if selection.matches_resource(resource) and self.allows(principal, host, Operation.DESCRIBE, resource)
            for entry in sorted(entries)
            if selection.matches_entry(entry)
        ]

    # Changing

    async def create(self, bindings: Sequence[AclBinding], principal: Principal, host: str) -> list[FlussError | None]:
        """Add entries; those that exist are no error.

        Returns:
            for each why it could not be added, or None.

        Raises:
            FlussError: ``AUTHORIZATION_EXCEPTION``, and nothing is added, unless the client has ``ALL`` on every
                resource (for a table: on its database).
        """
        _check_count(bindings)
        return await self._tasks.run(self._create(bindings, principal, host))

    async def drop(
        self, filters: Sequence[AclFilter], principal: Principal, host: str
    ) -> list[list[tuple[AclBinding, FlussError | None]]]:
        """Remove entries.

        Returns:
            for each filter the entries that it matched and no filter before it, and why one could not be removed.

        Raises:
            FlussError: ``AUTHORIZATION_EXCEPTION``, and nothing is removed, unless the client has ``ALL`` on every
                resource that a filter names or whose entries it is about (for a table: on its database), or on the
                cluster if there are none.
        """
        _check_count(filters)
        return await self._tasks.run(self._drop(filters, principal, host))

    def _require_control(self, resources: Iterable[Resource], principal: Principal, host: str) -> None:
        for resource in sorted(resources):
            if resource.type is ResourceType.TABLE:
                resource = Resource.database(resource.name.partition(".")[0])
            self.require(principal, host, Operation.ALL, resource)

    async def _create(self, bindings: Sequence[AclBinding], principal: Principal, host: str) -> list[FlussError | None]:
        results: list[FlussError | None] = [None] * len(bindings)
        by_resource: dict[Resource, dict[int, AclEntry]] = {}
        for index, (resource, entry) in enumerate(bindings):
            try:
                check_binding(resource, entry)
                by_resource.setdefault(resource, {})[index] = entry
            except FlussError as error:
                results[index] = error
        async with self._lock:
            self._require_control({binding.resource for binding in bindings}, principal, host)
            for resource, added in by_resource.items():
                try:
                    current = self._evaluator.entries.get(resource, frozenset())
                    await self._write(resource, current, current | frozenset(added.values()))
                except FlussError as error:
                    results = [error if index in added else result for index, result in enumerate(results)]
        await self._tell_others(by_resource)
        return results

    async def _tell_others(self, resources: Collection[Resource]) -> None:
        if self._distribute is not None and resources:
            await self._distribute(resources)

    async def _drop(
        self, filters: Sequence[AclFilter], principal: Principal, host: str
    ) -> list[list[tuple[AclBinding, FlussError | None]]]:
        results: list[list[tuple[AclBinding, FlussError | None]]] = [[] for _ in filters]
        async with self._lock:
            concerned = [
                resource
                for resource in sorted(self._evaluator.entries)
                if any(selection.matches_resource(resource) for selection in filters)
            ]
            # What a filter names must be controlled whether it has entries or not: the response would tell.
            scopes = set(concerned)
            for selection in filters:
                if selection.resource_type is not ResourceType.ANY and selection.resource_name is not None:
                    scopes.add(Resource(selection.resource_type, selection.resource_name))
                elif not any(map(selection.matches_resource, concerned)):
                    scopes.add(CLUSTER)
            self._require_control(scopes, principal, host)
            for resource in concerned:
                current = self._evaluator.entries[resource]
                claims = {
                    entry: index
                    for entry in sorted(current)
                    if (index := _first_match(filters, resource, entry)) is not None
                }
                problem: FlussError | None = None
                try:
                    await self._write(resource, current, current - claims.keys())
                except FlussError as error:
                    problem = error
                for entry, index in claims.items():
                    results[index].append((AclBinding(resource, entry), problem))
        # Also what had nothing to drop: an earlier attempt may have dropped it without reaching every server.
        await self._tell_others(scopes)
        return results

    async def _write(self, resource: Resource, before: frozenset[AclEntry], after: frozenset[AclEntry]) -> None:
        if after == before:
            return
        if len(after) > MAX_ENTRIES_PER_RESOURCE:
            raise FlussError(
                ErrorCode.INVALID_CONFIG_EXCEPTION,
                f"{resource} would have {len(after)} access control entries, the limit is {MAX_ENTRIES_PER_RESOURCE}",
            )
        total = self._evaluator.entry_count + len(after) - len(before)
        if len(after) > len(before) and total > MAX_ENTRIES:
            raise FlussError(
                ErrorCode.INVALID_CONFIG_EXCEPTION,
                f"there would be {total} access control entries, the limit is {MAX_ENTRIES}",
                hint="grant on databases or on the cluster instead of on each table",
            )
        path = acl_path(resource)
        changes: list[StoreOperation]
        if not after:
            changes = [Delete(path)]
        elif before:
            changes = [Set(path, encode_acls(after))]
        else:
            changes = [*await missing_parents(self._store, path), Create(path, encode_acls(after))]
        await self._store.commit(changes)
        self.replace(resource, after)
        logger.info("%s now has %d access control entries", resource, len(after))


def check_binding(resource: Resource, entry: AclEntry) -> None:
    """Refuse entries that could never mean anything.

    Raises:
        FlussError: ``INVALID_DATABASE_EXCEPTION``, ``INVALID_TABLE_EXCEPTION`` or ``INVALID_CONFIG_EXCEPTION``.
    """
    # The permission ANY is stored, as Apache Fluss does; such an entry allows nothing.
    if resource.type is ResourceType.ANY or entry.operation is Operation.ANY:
        raise FlussError(ErrorCode.INVALID_CONFIG_EXCEPTION, "ANY is for filters, not for entries")
    words = {"principal type": entry.principal.type, "principal name": entry.principal.name, "host": entry.host}
    for what, word in words.items():
        if not 0 < len(word) <= MAX_WORD_LENGTH:
            raise FlussError(
                ErrorCode.INVALID_CONFIG_EXCEPTION, f"a {what} has 1 to {MAX_WORD_LENGTH} characters, not {len(word)}"
            )
    if resource.name == ANY_NAME:
        return
    if resource.type is ResourceType.CLUSTER and resource != CLUSTER:
        raise FlussError(
            ErrorCode.INVALID_CONFIG_EXCEPTION, f"the cluster is called {CLUSTER.name!r}, not {resource.name!r}"
        )
    if resource.type is ResourceType.DATABASE:
        check_database_name(resource.name)
    if resource.type is ResourceType.TABLE:
        check_table_path(TablePath(*resource.name.partition(".")[::2]))


def parse_super_users(text: str) -> list[Principal]:
    """The principals of ``User:admin;User:bob``.

    Raises:
        FlussError: ``INVALID_CONFIG_EXCEPTION``.
    """
    principals = []
    for part in text.split(";"):
        kind, colon, name = part.strip().partition(":")
        if part.strip():
            if not (kind and colon and name):
                raise FlussError(
                    ErrorCode.INVALID_CONFIG_EXCEPTION,
                    f"super.users: {part.strip()!r} is not a principal",
                    hint="write Type:name;Type:name, for example User:admin",
                )
            principals.append(Principal(kind, name))
    return principals


def _first_match(filters: Sequence[AclFilter], resource: Resource, entry: AclEntry) -> int | None:
    for index, selection in enumerate(filters):
        if selection.matches_resource(resource) and selection.matches_entry(entry):
            return index
    return None


def _check_count(requested: Sequence[object]) -> None:
    if len(requested) > MAX_BINDINGS_PER_REQUEST:
        raise FlussError(
            ErrorCode.INVALID_CONFIG_EXCEPTION,
            f"a request may have {MAX_BINDINGS_PER_REQUEST} access control entries or filters, not {len(requested)}",
        )
