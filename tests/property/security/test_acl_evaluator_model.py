"""Decisions against a plain reading of the rules: search all entries for one that allows it."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from example_support import examples
from fluss_server.model.acl import CLUSTER, AclBinding, AclEntry, Operation, Permission, Resource, ResourceType
from fluss_server.model.principal import Principal
from fluss_server.security.acl_evaluator import AclEvaluator

OPERATIONS = [operation for operation in Operation if operation is not Operation.ANY]
HOSTS = ["127.0.0.1", "10.0.0.1", "::1"]
NAMES = ["a", "b", "A"]
RESOURCES = [
    CLUSTER,
    *(Resource(ResourceType.DATABASE, name) for name in NAMES),
    *(Resource(ResourceType.TABLE, f"{database}.{table}") for database in NAMES for table in NAMES),
]
PRINCIPALS = [Principal(kind, name) for kind in ("User", "Role") for name in ("ann", "Ann", "bob")]
WILD = [Resource(kind, "*") for kind in (ResourceType.CLUSTER, ResourceType.DATABASE, ResourceType.TABLE)]

entries = st.builds(
    AclEntry,
    st.sampled_from([*PRINCIPALS, Principal("*", "*"), Principal("User", "*"), Principal("*", "ann")]),
    st.sampled_from([*HOSTS, "*", "0:0:0:0:0:0:0:1"]),
    st.sampled_from(OPERATIONS),
)
bindings = st.builds(AclBinding, st.sampled_from(RESOURCES + WILD), entries)
questions = st.tuples(
    st.sampled_from(PRINCIPALS), st.sampled_from(HOSTS), st.sampled_from(OPERATIONS), st.sampled_from(RESOURCES)
)


def allows(
    bindings: Iterable[AclBinding],
    super_users: Iterable[Principal],
    ignore_case: bool,
    principal: Principal,
    host: str,
    operation: Operation,
    resource: Resource,
) -> bool:
    def same(left: Principal, right: Principal) -> bool:
        if ignore_case:
            return str(left).lower() == str(right).lower()
        return str(left) == str(right)

    if any(same(user, principal) for user in super_users):
        return True
    for where, entry in bindings:
        covers = (
            where in (resource, CLUSTER)
            or (where.name == "*" and where.type == resource.type)
            or (
                where.type is ResourceType.DATABASE
                and resource.type is ResourceType.TABLE
                and resource.name.split(".")[0] == where.name
            )
        )
        is_for = str(entry.principal) == "*:*" or same(entry.principal, principal)
        comes_from = entry.host in ("*", host) or (entry.host, host) == ("0:0:0:0:0:0:0:1", "::1")
        grants = entry.operation in (operation, Operation.ALL) or operation is Operation.DESCRIBE
        if covers and is_for and comes_from and grants and entry.permission is Permission.ALLOW:
            return True
    return False


@settings(max_examples=examples(100))
@given(st.lists(bindings, max_size=6), st.lists(st.sampled_from(PRINCIPALS), max_size=1), st.booleans(), questions)
def test_decisions_are_those_of_the_model(
    given_bindings: list[AclBinding],
    super_users: list[Principal],
    ignore_case: bool,
    question: tuple[Principal, str, Operation, Resource],
) -> None:
    grants = AclEvaluator(super_users, ignore_case=ignore_case)
    for resource in {binding.resource for binding in given_bindings}:
        grants.replace(resource, [entry for where, entry in given_bindings if where == resource])
    assert grants.allows(*question) == allows(given_bindings, super_users, ignore_case, *question)


@settings(max_examples=examples(50))
@given(st.lists(bindings, min_size=1, max_size=6), questions)
def test_taking_everything_back_leaves_nothing(
    given_bindings: list[AclBinding], question: tuple[Principal, str, Operation, Resource]
) -> None:
    grants = AclEvaluator()
    for resource, entry in given_bindings:
        grants.replace(resource, [entry])
    for resource, _ in given_bindings:
        grants.replace(resource, [])
    assert not grants.allows(*question)
    assert grants.entries == {}
