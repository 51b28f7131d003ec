"""Access control entries in the metadata tree: one node per resource, ``/fluss-acls/{type}/{name}``.

The value is ``{"version":1,"acls":[...]}`` with one object per entry.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.acl import AclEntry, Operation, Permission, Resource, ResourceType
from fluss_server.model.principal import Principal

ACLS = "/fluss-acls"


def acls_of_type_path(resource_type: ResourceType) -> str:
    return f"{ACLS}/{resource_type.name}"


def acl_path(resource: Resource) -> str:
    return f"{ACLS}/{resource.type.name}/{resource.name}"


def encode_acls(entries: Collection[AclEntry]) -> bytes:
    """The value of a node."""
    acls = [
        {
            "principal_type": entry.principal.type,
            "principal_name": entry.principal.name,
            "permission_type": entry.permission.name,
            "host": entry.host,
            "operation": entry.operation.name,
        }
        for entry in sorted(entries)
    ]
    return json.dumps({"version": 1, "acls": acls}, separators=(",", ":"), ensure_ascii=False).encode()


def decode_acls(path: str, value: bytes) -> frozenset[AclEntry]:
    """The entries in a node.

    Raises:
        FlussError: ``UNKNOWN_SERVER_ERROR`` when they cannot be read, with the path.
    """
    try:
        return frozenset(_entry(acl) for acl in json.loads(value)["acls"])
    except (ValueError, KeyError, TypeError) as error:
        raise FlussError(
            ErrorCode.UNKNOWN_SERVER_ERROR,
            f"metadata node {path} cannot be read: no access control entries: {type(error).__name__} {error}",
        ) from None


def _entry(acl: Any) -> AclEntry:
    texts = [acl[key] for key in ("principal_type", "principal_name", "host")]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("principal and host must be text")
    principal_type, principal_name, host = texts
    operation, permission = Operation[acl["operation"]], Permission[acl["permission_type"]]
    return AclEntry(Principal(principal_type, principal_name), host, operation, permission)
