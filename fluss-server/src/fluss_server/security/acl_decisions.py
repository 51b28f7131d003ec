"""Whether a client may do something: decided from the entries in memory, and remembered until one of them changes."""

from __future__ import annotations

from collections.abc import Collection

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.acl import AclEntry, Operation, Resource
from fluss_server.model.identifiers import TablePath
from fluss_server.model.principal import Principal
from fluss_server.security.acl_evaluator import AclEvaluator

MAX_CACHED_RESULTS = 20_000
MAX_CACHED_NAME_LENGTH = 512


class AclDecisions:
    """Decides. Who changes the entries calls :meth:`replace`.

    Args:
        super_users: may do everything.
        ignore_case: principals that differ in case only are the same.
    """

    def __init__(self, super_users: Collection[Principal] = (), *, ignore_case: bool = False) -> None:
        self._evaluator = AclEvaluator(super_users, ignore_case=ignore_case)
        self._results: dict[tuple[Principal, str, Operation, Resource | int], bool] = {}

    def allows(self, principal: Principal, host: str, operation: Operation, resource: Resource) -> bool:
        """Whether a client at an address may do something."""
        key = (principal, host, operation, resource)
        result = self._results.get(key)
        if result is None:
            result = self._remember(key, self._evaluator.allows(principal, host, operation, resource))
        return result

    def allows_table(
        self, principal: Principal, host: str, operation: Operation, table_id: int, path: TablePath | None
    ) -> bool:
        """The same for a table by id, which always has the same path; None = there is no such table."""
        key = (principal, host, operation, table_id)
        result = self._results.get(key)
        if result is None:
            if path is None:
                return False
            result = self._remember(key, self._evaluator.allows(principal, host, operation, Resource.table(path)))
        return result

    def require(self, principal: Principal, host: str, operation: Operation, resource: Resource) -> None:
        """``AUTHORIZATION_EXCEPTION`` unless it is allowed."""
        if not self.allows(principal, host, operation, resource):
            raise denied(principal, operation, resource)

    def replace(self, resource: Resource, entries: Collection[AclEntry]) -> None:
        """Make ``entries`` the entries of a resource, from the next request on."""
        self._evaluator.replace(resource, entries)
        self._results.clear()

    def _remember(self, key: tuple[Principal, str, Operation, Resource | int], result: bool) -> bool:
        if isinstance(resource := key[3], Resource) and len(resource.name) > MAX_CACHED_NAME_LENGTH:
            return result  # no such thing can exist: clients must not fill the memory with names
        if len(self._results) >= MAX_CACHED_RESULTS:
            self._results.clear()
        self._results[key] = result
        return result


def denied(principal: Principal, operation: Operation, resource: Resource | str) -> FlussError:
    """The error for what is not allowed, in the words by which clients of Apache Fluss know it."""
    who = f"FlussPrincipal{{name='{principal.name}', type='{principal.type}'}}"
    return FlussError(
        ErrorCode.AUTHORIZATION_EXCEPTION,
        f"Principal {who} have no authorization to operate {operation.name} on resource {resource} ",
    )
