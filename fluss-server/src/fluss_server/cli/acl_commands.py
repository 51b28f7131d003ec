"""``fluss acl``: who may do what."""

from __future__ import annotations

import argparse

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.cli.failures import UsageError
from fluss_server.cli.output import note, print_rows
from fluss_server.cli.session import Session, raise_bucket_error, table_path
from fluss_server.model.acl import ANY_NAME, CLUSTER, Operation, Permission, Resource, ResourceType
from fluss_server.model.principal import Principal

_USER = "User"


def grant(session: Session, parsed: argparse.Namespace) -> None:
    """``fluss acl grant``"""
    principal, resource = _principal(parsed.principal), _resource(parsed)
    request = pb.CreateAclsRequest()
    for operation in _operations(parsed.operations):
        request.acl.add(
            resource_type=resource.type,
            resource_name=resource.name,
            principal_type=principal.type,
            principal_name=principal.name,
            host=parsed.from_host,
            operation_type=operation,
            permission_type=Permission.ALLOW,
        )
    for response in session.call(ApiKey.CREATE_ACLS, request).aclRes:
        raise_bucket_error(response)
    for entry in request.acl:
        note(f"granted: {_text(entry)}")


def revoke(session: Session, parsed: argparse.Namespace) -> int:
    """``fluss acl revoke``: exit code 1 when there was no such entry."""
    principal, resource = _principal(parsed.principal), _resource(parsed)
    request = pb.DropAclsRequest()
    for operation in _operations(parsed.operations, any_operation=True):
        entry_filter = request.acl_filter.add()
        _set_filter(entry_filter, principal, resource, parsed.from_host, operation)
    removed = 0
    for result in session.call(ApiKey.DROP_ACLS, request).filter_results:
        raise_bucket_error(result)
        for match in result.matching_acls:
            raise_bucket_error(match)
            note(f"revoked: {_text(match.acl)}")
            removed += 1
    if not removed:
        note("nothing revoked: there is no such entry; fluss acl list shows all")
    return 0 if removed else 1


def list_entries(session: Session, parsed: argparse.Namespace) -> None:
    """``fluss acl list``"""
    principal = None if parsed.principal is None else _principal(parsed.principal)
    chosen = parsed.cluster or parsed.database is not None or parsed.table is not None
    request = pb.ListAclsRequest()
    _set_filter(request.acl_filter, principal, _resource(parsed) if chosen else None, None, Operation.ANY)
    rows = sorted(
        (
            str(ResourceType(entry.resource_type).name).lower(),
            entry.resource_name,
            f"{entry.principal_type}:{entry.principal_name}",
            Operation(entry.operation_type).name,
            entry.host,
        )
        for entry in session.call(ApiKey.LIST_ACLS, request).acl
    )
    print_rows(("resource", "name", "principal", "operation", "from_host"), rows, parsed.output)


def _set_filter(
    target: pb.PbAclFilter,
    principal: Principal | None,
    resource: Resource | None,
    host: str | None,
    operation: Operation,
) -> None:
    target.resource_type = ResourceType.ANY if resource is None else resource.type
    target.operation_type, target.permission_type = operation, Permission.ANY
    if resource is not None:
        target.resource_name = resource.name
    if principal is not None:
        target.principal_type, target.principal_name = principal.type, principal.name
    if host is not None:
        target.host = host


def _principal(text: str) -> Principal:
    """``bob`` and ``User:bob`` are the same; ``*`` is everybody."""
    if text == ANY_NAME:
        return Principal(ANY_NAME, ANY_NAME)
    kind, separator, name = text.partition(":")
    if not separator:
        kind, name = _USER, text
    if not kind or not name:
        raise UsageError(f"{text!r} is not a principal", hint="write bob, User:bob, or * for everybody")
    return Principal(kind, name)


def _resource(parsed: argparse.Namespace) -> Resource:
    if parsed.cluster:
        return CLUSTER
    if parsed.database is not None:
        return Resource.database(parsed.database)
    if parsed.table == ANY_NAME:
        return Resource(ResourceType.TABLE, ANY_NAME)
    return Resource.table(table_path(parsed.table))


def _operations(text: str, *, any_operation: bool = False) -> list[Operation]:
    allowed = [operation for operation in Operation if any_operation or operation is not Operation.ANY]
    by_name = {operation.name: operation for operation in allowed}
    names = [name.strip().upper() for name in text.split(",")]
    if unknown := [name for name in names if name not in by_name]:
        raise UsageError(f"{unknown[0]!r} is not an operation", hint=f"operations are {', '.join(by_name)}")
    return [by_name[name] for name in dict.fromkeys(names)]


def _text(entry: pb.PbAclInfo) -> str:
    resource = ResourceType(entry.resource_type).name.lower()
    name = "" if entry.resource_type == ResourceType.CLUSTER else f" {entry.resource_name}"
    host = "" if entry.host == ANY_NAME else f" from {entry.host}"
    operation = Operation(entry.operation_type).name
    return f"{entry.principal_type}:{entry.principal_name} {operation} on {resource}{name}{host}"
