"""CREATE_ACLS, LIST_ACLS and DROP_ACLS."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, TypeVar

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.acl import AclBinding, AclEntry, AclFilter, Operation, Permission, Resource, ResourceType
from fluss_server.model.principal import Principal
from fluss_server.rpc.service import RequestContext, ResponseBody, rpc

if TYPE_CHECKING:
    from fluss_server.security.authorizer import Authorizer

_EnumT = TypeVar("_EnumT", bound=IntEnum)


class AclService:
    """Administration of access control entries; it checks by itself who may see or change which.

    Args:
        authorizer: None = the server does not check, and every call fails with ``SECURITY_DISABLED_EXCEPTION``.
    """

    def __init__(self, authorizer: Authorizer | None) -> None:
        self._authorizer = authorizer

    @rpc(ApiKey.CREATE_ACLS)
    async def create_acls(self, request: pb.CreateAclsRequest, context: RequestContext) -> ResponseBody:
        authorizer = self._enabled()
        bindings = [_binding(acl) for acl in request.acl]
        results = await authorizer.create(bindings, context.principal, context.peer_host)
        response = pb.CreateAclsResponse()
        for acl, error in zip(request.acl, results, strict=True):
            # The one place of the protocol where success has a code.
            code = ErrorCode.NONE if error is None else error.code
            response.aclRes.add(acl=acl, error_code=int(code), error_message=None if error is None else str(error))
        return response

    @rpc(ApiKey.LIST_ACLS)
    def list_acls(self, request: pb.ListAclsRequest, context: RequestContext) -> ResponseBody:
        authorizer = self._enabled()
        found = authorizer.select(_filter(request.acl_filter), context.principal, context.peer_host)
        return pb.ListAclsResponse(acl=[_info(binding) for binding in found])

    @rpc(ApiKey.DROP_ACLS)
    async def drop_acls(self, request: pb.DropAclsRequest, context: RequestContext) -> ResponseBody:
        authorizer = self._enabled()
        filters = [_filter(entry) for entry in request.acl_filter]
        results = await authorizer.drop(filters, context.principal, context.peer_host)
        response = pb.DropAclsResponse()
        for matches in results:
            result = response.filter_results.add()
            for binding, error in matches:
                matching = result.matching_acls.add(acl=_info(binding))
                if error is not None:
                    matching.error_code, matching.error_message = int(error.code), str(error)
        return response

    def _enabled(self) -> Authorizer:
        if self._authorizer is None:
            raise FlussError(
                ErrorCode.SECURITY_DISABLED_EXCEPTION,
                "No Authorizer is configured.",
                hint="start the server with authorizer.enabled=true",
            )
        return self._authorizer


def _binding(acl: pb.PbAclInfo) -> AclBinding:
    return AclBinding(
        Resource(_member(ResourceType, acl.resource_type), acl.resource_name),
        AclEntry(
            Principal(acl.principal_type, acl.principal_name),
            acl.host,
            _member(Operation, acl.operation_type),
            _member(Permission, acl.permission_type),
        ),
    )


def _info(binding: AclBinding) -> pb.PbAclInfo:
    resource, entry = binding
    return pb.PbAclInfo(
        resource_name=resource.name,
        resource_type=resource.type,
        principal_name=entry.principal.name,
        principal_type=entry.principal.type,
        host=entry.host,
        operation_type=entry.operation,
        permission_type=entry.permission,
    )


def _filter(acl: pb.PbAclFilter) -> AclFilter:
    return AclFilter(
        resource_type=_member(ResourceType, acl.resource_type),
        resource_name=acl.resource_name if acl.HasField("resource_name") else None,
        principal_type=acl.principal_type if acl.HasField("principal_type") else None,
        principal_name=acl.principal_name if acl.HasField("principal_name") else None,
        host=acl.host if acl.HasField("host") else None,
        operation=_member(Operation, acl.operation_type),
        permission=_member(Permission, acl.permission_type),
    )


def _member(kind: type[_EnumT], number: int) -> _EnumT:
    try:
        return kind(number)
    except ValueError:
        known = ", ".join(f"{member.value} {member.name}" for member in kind)
        raise FlussError(
            ErrorCode.INVALID_CONFIG_EXCEPTION, f"{number} is no {kind.__name__}", hint=f"there are {known}"
        ) from None
