"""Operations on the tree: versions, conflicts, atomicity, events."""

from __future__ import annotations

import pytest

from fluss_server.metadata.store import (
    MAX_OPERATIONS,
    MAX_VALUE_BYTES,
    Check,
    Conflict,
    Create,
    Delete,
    Event,
    EventKind,
    MetadataConflict,
    Node,
    Set,
    StoreOperation,
    check_path,
    parent_of,
)
from fluss_server.metadata.tree import Tree


def commit(tree: Tree, *operations: StoreOperation) -> list[int]:
    plan = tree.plan(operations)
    tree.apply(plan)
    return plan.versions


def refused(tree: Tree, *operations: StoreOperation) -> Conflict:
    with pytest.raises(MetadataConflict) as caught:
        tree.plan(operations)
    return caught.value.reason


class FakeSession:
    session_id = 5
    closed = False

    async def close(self) -> None:
        self.closed = True


def test_life_of_a_node() -> None:
    tree = Tree()
    assert commit(tree, Create("/a", b"1")) == [0]
    assert tree.get("/a") == Node(b"1", 0)
    assert commit(tree, Set("/a", b"2"), Set("/a", b"3", version=1)) == [1, 2]
    assert tree.get("/a") == Node(b"3", 2)
    assert commit(tree, Check("/a", 2), Delete("/a", version=2)) == [2, 2]
    assert tree.get("/a") is None
    assert len(tree) == 0
    assert tree.persistent_bytes == 0


def test_children_are_sorted_names() -> None:
    tree = Tree()
    commit(tree, Create("/a"), Create("/a/z"), Create("/a/b"), Create("/a/b/x"), Create("/a-b"))
    assert tree.children("/a") == ["b", "z"]
    assert tree.children("/") == ["a", "a-b"]
    with pytest.raises(MetadataConflict):
        tree.children("/missing")


def test_conflicts() -> None:
    tree = Tree()
    commit(tree, Create("/a"), Create("/a/b"))
    assert refused(tree, Create("/a")) is Conflict.NODE_EXISTS
    assert refused(tree, Create("/x/y")) is Conflict.NO_PARENT
    assert refused(tree, Set("/x", b"")) is Conflict.NO_NODE
    assert refused(tree, Set("/a", b"", version=1)) is Conflict.BAD_VERSION
    assert refused(tree, Delete("/a")) is Conflict.NOT_EMPTY
    assert refused(tree, Delete("/a/b", version=3)) is Conflict.BAD_VERSION
    assert refused(tree, Check("/x")) is Conflict.NO_NODE
    assert refused(tree, Check("/a", 1)) is Conflict.BAD_VERSION


def test_a_refused_list_changes_nothing() -> None:
    tree = Tree()
    commit(tree, Create("/a", b"1"))
    assert refused(tree, Set("/a", b"2"), Create("/b"), Create("/b")) is Conflict.NODE_EXISTS
    assert tree.get("/a") == Node(b"1", 0)
    assert tree.get("/b") is None


def test_a_plan_is_invisible_until_it_is_applied() -> None:
    tree = Tree()
    plan = tree.plan([Create("/a"), Create("/a/b")])
    assert tree.get("/a") is None
    assert tree.children("/") == []
    tree.apply(plan)
    assert tree.children("/a") == ["b"]


def test_operations_of_a_list_see_each_other() -> None:
    tree = Tree()
    commit(tree, Create("/a"), Create("/a/b", b"old"), Create("/a/c"))
    commit(tree, Delete("/a/b"), Delete("/a/c"), Delete("/a"), Create("/a", b"new"), Create("/a/d"))
    assert tree.get("/a") == Node(b"new", 0)
    assert tree.children("/a") == ["d"]
    assert refused(tree, Create("/a/e"), Delete("/a/d"), Delete("/a")) is Conflict.NOT_EMPTY
    commit(tree, Create("/t"), Delete("/t"))
    assert tree.get("/t") is None


def test_events_tell_the_net_change() -> None:
    tree = Tree()
    commit(tree, Create("/a"), Create("/b"))
    plan = tree.plan([Set("/a", b"x"), Create("/c"), Create("/d"), Delete("/d"), Delete("/b"), Check("/a")])
    assert plan.events == [
        Event(EventKind.CHANGED, "/a"),
        Event(EventKind.DELETED, "/b"),
        Event(EventKind.CREATED, "/c"),
    ]


def test_ephemeral_nodes_belong_to_their_session() -> None:
    tree = Tree()
    session = FakeSession()
    commit(tree, Create("/ids"), Create("/ids/0", b"x", session), Create("/ids/1", b"", session))
    assert tree.owned_by(5) == ["/ids/0", "/ids/1"]
    assert refused(tree, Create("/ids/0/x")) is Conflict.EPHEMERAL_PARENT
    commit(tree, Set("/ids/0", b"y"), Delete("/ids/1"))
    assert tree.owned_by(5) == ["/ids/0"]
    assert [path for path, _ in tree.persistent()] == ["/ids"]
    session.closed = True
    assert refused(tree, Create("/ids/2", b"", session)) is Conflict.SESSION_CLOSED


def test_limits() -> None:
    tree = Tree()
    commit(tree, Create("/a", bytes(MAX_VALUE_BYTES)))
    with pytest.raises(ValueError, match="limit"):
        tree.plan([Set("/a", bytes(MAX_VALUE_BYTES + 1))])
    with pytest.raises(ValueError, match="limit"):
        tree.plan([Check("/a")] * (MAX_OPERATIONS + 1))
    with pytest.raises(ValueError, match="root"):
        tree.plan([Delete("/")])


@pytest.mark.parametrize("path", ["", "a", "a/b", "/a/", "//", "/a//b", "/.", "/a/../b", "/a\0"])
def test_bad_paths(path: str) -> None:
    with pytest.raises(ValueError, match="path"):
        check_path(path)


def test_parents() -> None:
    assert parent_of("/a/b") == "/a"
    assert parent_of("/a") == "/"
