"""The tree of nodes in memory: what operations do to it, without I/O.

An operation list is first *planned* against the tree, which stays as it is, and the plan is applied once it is durable.
Between the two nothing else may change the tree; readers see the old state until :meth:`Tree.apply`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

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
    join_path,
    parent_of,
)

NODE_OVERHEAD_BYTES = 16
"""What a node takes beside its path and value, in a file and roughly in accounts of size."""


@dataclass(slots=True)
class _Entry:
    node: Node
    children: set[str] = field(default_factory=set)


class Plan(NamedTuple):
    """What a list of operations amounts to.

    Attributes:
        versions: the result of :meth:`MetadataStore.commit`.
        changes: final state of every node that changes; None = it is gone.
        events: one per entry of ``changes``.
    """

    versions: list[int]
    changes: dict[str, Node | None]
    events: list[Event]


class Tree:
    """Nodes by path. The root ``/`` always exists, has no value and cannot be changed."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {"/": _Entry(Node(b"", 0))}
        self._owned: dict[int, set[str]] = {}
        self._persistent_bytes = 0

    def __len__(self) -> int:
        """Number of nodes without the root."""
        return len(self._entries) - 1

    @property
    def persistent_bytes(self) -> int:
        """About how many bytes the persistent nodes take in a file."""
        return self._persistent_bytes

    def get(self, path: str) -> Node | None:
        entry = self._entries.get(path)
        return None if entry is None else entry.node

    def children(self, path: str) -> list[str]:
        """Names of the children, sorted; ``NO_NODE``."""
        entry = self._entries.get(path)
        if entry is None:
            raise MetadataConflict(Conflict.NO_NODE, path)
        return sorted(entry.children)

    def descendants(self, path: str) -> list[str]:
        """Paths below ``path``, parents before children; ``NO_NODE``."""
        found: list[str] = []
        unread = [path]
        while unread:
            current = unread.pop()
            below = [join_path(current, name) for name in self.children(current)]
            found += below
            unread += below
        return found

    def owned_by(self, session_id: int) -> list[str]:
        """Paths of the ephemeral nodes of a session."""
        return sorted(self._owned.get(session_id, ()))

    def persistent(self) -> Iterator[tuple[str, Node]]:
        """Every persistent node but the root, parents before children."""
        for path in sorted(self._entries):
            node = self._entries[path].node
            if path != "/" and node.session_id is None:
                yield path, node

    def plan(self, operations: Sequence[StoreOperation]) -> Plan:
        """Work out what ``operations`` change.

        Raises:
            MetadataConflict: when one of them is impossible; then none may be applied.
            ValueError: for a malformed path, a value above the limit or too many operations.
        """
        if len(operations) > MAX_OPERATIONS:
            raise ValueError(f"{len(operations)} operations in one commit, the limit is {MAX_OPERATIONS}")
        return _Planner(self._entries).run(operations)

    def apply(self, plan: Plan) -> None:
        """Change the tree as planned."""
        gone = [path for path, node in plan.changes.items() if node is None]
        for path in gone:
            entry = self._entries.pop(path)
            self._account(path, entry.node, -1)
        for path in gone:
            if (parent := self._entries.get(parent_of(path))) is not None:
                parent.children.discard(_name(path))
        for path, node in plan.changes.items():
            if node is not None:
                self.put(path, node)

    def put(self, path: str, node: Node) -> None:
        """Set one node, which may be new; conflict: ``NO_PARENT``.

        Only for replaying what was planned before; operations go through :meth:`plan`.
        """
        parent = self._entries.get(parent_of(path))
        if parent is None:
            raise MetadataConflict(Conflict.NO_PARENT, path)
        entry = self._entries.get(path)
        if entry is None:
            self._entries[path] = _Entry(node)
            parent.children.add(_name(path))
        else:
            self._account(path, entry.node, -1)
            entry.node = node
        self._account(path, node, 1)

    def _account(self, path: str, node: Node, sign: int) -> None:
        if node.session_id is None:
            self._persistent_bytes += sign * (len(path.encode()) + len(node.value) + NODE_OVERHEAD_BYTES)
        elif sign > 0:
            self._owned.setdefault(node.session_id, set()).add(path)
        else:
            owned = self._owned[node.session_id]
            owned.discard(path)
            if not owned:
                del self._owned[node.session_id]


class _Planner:
    """Operations on top of entries that stay as they are."""

    def __init__(self, entries: dict[str, _Entry]) -> None:
        self._entries = entries
        self._states: dict[str, Node | None] = {}
        self._child_counts: dict[str, int] = {}

    def run(self, operations: Sequence[StoreOperation]) -> Plan:
        versions = [self._step(operation) for operation in operations]
        changes: dict[str, Node | None] = {}
        events: list[Event] = []
        for path, node in sorted(self._states.items()):  # parents before children
            before = self._entries.get(path)
            if node is not None:
                changes[path] = node
                events.append(Event(EventKind.CREATED if before is None else EventKind.CHANGED, path))
            elif before is not None:
                changes[path] = None
                events.append(Event(EventKind.DELETED, path))
        return Plan(versions, changes, events)

    def _step(self, operation: StoreOperation) -> int:
        path = operation.path
        check_path(path)
        if path == "/":
            raise ValueError("the root of the metadata tree cannot be changed")
        if isinstance(operation, Create):
            return self._create(operation)
        node = self._node(path)
        if node is None:
            raise MetadataConflict(Conflict.NO_NODE, path)
        if operation.version is not None and operation.version != node.version:
            raise MetadataConflict(Conflict.BAD_VERSION, path)
        if isinstance(operation, Set):
            _check_value(operation.path, operation.value)
            self._states[path] = Node(operation.value, node.version + 1, node.session_id)
            return node.version + 1
        if isinstance(operation, Delete):
            if self._children(path):
                raise MetadataConflict(Conflict.NOT_EMPTY, path)
            self._states[path] = None
            self._child_counts[parent_of(path)] = self._children(parent_of(path)) - 1
            return node.version
        assert isinstance(operation, Check)
        return node.version

    def _create(self, operation: Create) -> int:
        path = operation.path
        _check_value(path, operation.value)
        if operation.session is not None and operation.session.closed:
            raise MetadataConflict(Conflict.SESSION_CLOSED, path)
        if self._node(path) is not None:
            raise MetadataConflict(Conflict.NODE_EXISTS, path)
        parent_path = parent_of(path)
        parent = self._node(parent_path)
        if parent is None:
            raise MetadataConflict(Conflict.NO_PARENT, path)
        if parent.session_id is not None:
            raise MetadataConflict(Conflict.EPHEMERAL_PARENT, path)
        session_id = None if operation.session is None else operation.session.session_id
        self._states[path] = Node(operation.value, 0, session_id)
        self._child_counts[parent_path] = self._children(parent_path) + 1
        self._child_counts[path] = 0
        return 0

    def _node(self, path: str) -> Node | None:
        if path in self._states:
            return self._states[path]
        entry = self._entries.get(path)
        return None if entry is None else entry.node

    def _children(self, path: str) -> int:
        if path in self._child_counts:
            return self._child_counts[path]
        return len(self._entries[path].children)


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _check_value(path: str, value: bytes) -> None:
    if len(value) > MAX_VALUE_BYTES:
        raise ValueError(f"the value of metadata node {path} has {len(value)} bytes, the limit is {MAX_VALUE_BYTES}")
