"""The check around every handler."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.acl import CLUSTER, Operation, Resource
from fluss_server.model.identifiers import TablePath
from fluss_server.model.principal import Principal
from fluss_server.rpc.service import Handler, RequestContext
from fluss_server.security.acl_decisions import AclDecisions, denied
from fluss_server.security.rules import RULES, Permissions, Response


class AuthorizationInterceptor:
    """Wraps handlers; give it to a ``ServiceRegistry``.

    Args:
        authorizer: decides.
        table_path: path of the table with an id, None when there is none.
    """

    def __init__(self, authorizer: AclDecisions, table_path: Callable[[int], TablePath | None]) -> None:
        self._authorizer = authorizer
        self._table_path = table_path

    def __call__(self, handler: Handler) -> Handler:
        """The handler with its rule before it.

        Raises:
            ValueError: the API has no rule.
        """
        rule = RULES.get(handler.spec.key)
        if rule is None:
            raise ValueError(f"{handler.spec.name} has no rule in security/rules.py, so it cannot be served")
        apply, method, permissions_of = rule.apply, handler.method, self.permissions

        def intercepted(request: Any, context: RequestContext) -> Response:
            return apply(permissions_of(context), request, lambda: method(request, context))

        # What `guarded` returns is a coroutine when the method's is, and the caller looks.
        return dataclasses.replace(handler, method=intercepted, is_async=False)

    def permissions(self, context: RequestContext) -> Permissions:
        """What the caller of a request may do."""
        return _CallerPermissions(self._authorizer, self._table_path, context.principal, context.peer_host)


class _CallerPermissions:
    """See ``rules.Permissions``."""

    __slots__ = ("_authorizer", "_host", "_principal", "_table_path")

    def __init__(
        self,
        authorizer: AclDecisions,
        table_path: Callable[[int], TablePath | None],
        principal: Principal,
        host: str,
    ) -> None:
        self._authorizer = authorizer
        self._table_path = table_path
        self._principal = principal
        self._host = host

    def allows(self, operation: Operation, resource: Resource) -> bool:
        return self._authorizer.allows(self._principal, self._host, operation, resource)

    def require(self, operation: Operation, resource: Resource) -> None:
        self._authorizer.require(self._principal, self._host, operation, resource)

    def table_refusal(self, operation: Operation, table_id: int) -> FlussError | None:
        path = self._table_path(table_id)
        if self._authorizer.allows_table(self._principal, self._host, operation, table_id, path):
            return None
        if path is None and self.allows(operation, CLUSTER):
            return FlussError(
                ErrorCode.UNKNOWN_TABLE_OR_BUCKET_EXCEPTION, f"this server does not know a table with id {table_id}"
            )
        if path is not None and self.allows(Operation.DESCRIBE, Resource.table(path)):
            return denied(self._principal, operation, Resource.table(path))
        # Neither the name of a table nor whether there is one: ids are small numbers, and easily tried.
        return denied(self._principal, operation, f"table id {table_id}")
