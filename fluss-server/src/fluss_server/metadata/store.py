"""The interface behind which coordination state lives: a tree of small values with versions.

The model is ZooKeeper's, because that is one of the implementations; nothing here needs more than it offers:

* a node has a path (``/a/b``), a value of at most 1 MiB and a version that starts at 0 and grows by 1 with each set;
* a node is created below an existing, not ephemeral parent, and deleted when it has no children;
* :meth:`MetadataStore.commit` applies several operations atomically: all or none, also after a crash; how many it takes
  depends on the store (:class:`CommitLimits`);
* an ephemeral node lives as long as the session that created it;
* a watch reports *that* something changed, possibly several changes as one; the reader reads again.

Values and versions returned by reads are those of committed operations. An operation that returned survives a crash of
the machine. An operation that raised a :class:`MetadataConflict` changed nothing. Of one that raised
:class:`UnknownOutcome` nobody knows whether it was applied; every other error means that nothing changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

from fluss_server.errors import ErrorCode, FlussError

MAX_VALUE_BYTES = 1 << 20
"""Largest value of a node in any store; one store may take less."""

MAX_OPERATIONS = 1_000_000
"""Most operations of one commit in any store; one store may take less."""

OPERATION_OVERHEAD_BYTES = 128
"""What an operation takes beside its path and value; the estimate is too high rather than too low."""

UNKNOWN_VERSION = -1
"""A version that a store does not know; no operation takes it."""

DEFAULT_WATCH_CAPACITY = 1024


class Conflict(Enum):
    """Why an operation is impossible in the state of the tree."""

    NO_NODE = "there is no such node"
    NO_PARENT = "its parent does not exist"
    NODE_EXISTS = "the node exists"
    NOT_EMPTY = "the node has children"
    BAD_VERSION = "the node has another version"
    EPHEMERAL_PARENT = "an ephemeral node cannot have children"
    SESSION_CLOSED = "the session is closed"


class MetadataConflict(FlussError):
    """An operation that is impossible in the state of the tree.

    Callers tell the cases apart by :attr:`reason` and turn them into an error of their own; the code is
    ``UNKNOWN_SERVER_ERROR`` because a conflict that reaches a client is a fault of the server.
    """

    def __init__(self, reason: Conflict, path: str) -> None:
        super().__init__(ErrorCode.UNKNOWN_SERVER_ERROR, f"metadata node {path}: {reason.value}")
        self.reason = reason
        self.path = path


class UnknownOutcome(FlussError):
    """A commit of which nobody knows whether it was applied; it may even be applied later.

    The code is ``REQUEST_TIME_OUT``, which clients retry: they find out that way. Whoever has read the tree into memory
    has to read it again.
    """

    def __init__(self, message: str) -> None:
        super().__init__(
            ErrorCode.REQUEST_TIME_OUT, message, hint="look whether the change is there before it is made again"
        )


class StoreSession(Protocol):
    """What ephemeral nodes live and die with."""

    @property
    def session_id(self) -> int:
        """What :attr:`Node.session_id` says of its nodes; sessions that one store has open may share it."""

    @property
    def closed(self) -> bool:
        """True when the session is closed or lost; its ephemeral nodes are gone or about to go."""

    async def close(self) -> None:
        """End the session and remove its ephemeral nodes; nothing happens the second time."""


class Node(NamedTuple):
    """A node as it was read.

    Attributes:
        value: at most :data:`MAX_VALUE_BYTES`.
        version: number of times the value was set since the node was created.
        session_id: session of an ephemeral node, None for a persistent one.
    """

    value: bytes
    version: int
    session_id: int | None = None


@dataclass(frozen=True, slots=True)
class Create:
    """Create a node; conflicts: ``NODE_EXISTS``, ``NO_PARENT``, ``EPHEMERAL_PARENT``, ``SESSION_CLOSED``."""

    path: str
    value: bytes = b""
    session: StoreSession | None = None


@dataclass(frozen=True, slots=True)
class Set:
    """Replace a value; conflicts: ``NO_NODE``, ``BAD_VERSION`` unless ``version`` is None or the node's."""

    path: str
    value: bytes
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a node; conflicts: ``NO_NODE``, ``NOT_EMPTY``, ``BAD_VERSION``."""

    path: str
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """Change nothing, but fail the commit unless the node exists and has ``version`` (None = any)."""

    path: str
    version: int | None = None


StoreOperation = Create | Set | Delete | Check


class CommitLimits(NamedTuple):
    """What one commit of a store takes.

    Attributes:
        operations: most operations.
        size_bytes: most bytes of all of them, as :func:`operation_bytes` estimates.
        value_bytes: largest value of a node.
    """

    operations: int
    size_bytes: int
    value_bytes: int

    def allow(self, operations: Sequence[StoreOperation]) -> bool:
        """Whether they can be one commit."""
        return (
            len(operations) <= self.operations
            and sum(map(operation_bytes, operations)) <= self.size_bytes
            and all(len(value_of(operation)) <= self.value_bytes for operation in operations)
        )

    def without(self, operation: StoreOperation) -> CommitLimits:
        """What is left beside ``operation``."""
        return self._replace(operations=self.operations - 1, size_bytes=self.size_bytes - operation_bytes(operation))


class EventKind(Enum):
    """What a watch reports."""

    CREATED = "created"
    CHANGED = "changed"
    DELETED = "deleted"
    OVERFLOW = "overflow"  # events may be missing: read everything again


class Event(NamedTuple):
    """Something happened to the node at ``path`` (of an ``OVERFLOW``: at or below ``path``)."""

    kind: EventKind
    path: str


class Watch(Protocol):
    """Events at and below one path; ends when it or the store is closed.

    They are hints: after a change there is at least one event that the change came before, but several changes may be
    one event, and an event may come without a change.
    """

    def __aiter__(self) -> Watch: ...

    async def __anext__(self) -> Event: ...

    def close(self) -> None:
        """Stop watching and end the iteration."""


class MetadataStore(Protocol):
    """A tree of small values. All methods belong to one event loop.

    Every method may raise :class:`FlussError` with ``STORAGE_EXCEPTION`` when the store cannot be read or written.
    """

    @property
    def limits(self) -> CommitLimits:
        """What one commit takes; ``ValueError`` for more."""

    async def get(self, path: str) -> Node | None:
        """The node at ``path``, or None."""

    async def get_all(self, paths: Sequence[str]) -> list[Node | None]:
        """The nodes at ``paths``, in their order; not a snapshot of one time."""

    async def children(self, path: str) -> list[str]:
        """Names, without the path, of the children of ``path``, sorted; conflict: ``NO_NODE``."""

    async def descendants(self, path: str) -> list[str]:
        """Paths below ``path``, parents before children; conflict: ``NO_NODE``. Not a snapshot of one time."""

    async def commit(self, operations: Sequence[StoreOperation]) -> list[int]:
        """Apply ``operations`` in order, atomically.

        Returns:
            one version per operation: that of the node after it, and of the deleted node for a :class:`Delete`. A
            store that does not know one says :data:`UNKNOWN_VERSION`; it knows those of created nodes, and those that
            operations name.

        Raises:
            MetadataConflict: nothing changed.
            UnknownOutcome: the store cannot tell.
            ValueError: for a malformed path, or more than :attr:`limits`.
        """

    async def open_session(self) -> StoreSession:
        """A new session for ephemeral nodes."""

    def watch(self, path: str, capacity: int = DEFAULT_WATCH_CAPACITY) -> Watch:
        """Report changes at and below ``path`` from now on; at most ``capacity`` events wait to be read."""

    async def close(self) -> None:
        """End all sessions and watches and release the store; nothing happens the second time."""


def value_of(operation: StoreOperation) -> bytes:
    """The value that an operation writes; empty when it writes none."""
    return operation.value if isinstance(operation, Create | Set) else b""


def operation_bytes(operation: StoreOperation) -> int:
    """About how many bytes an operation takes in a commit."""
    return len(operation.path.encode()) + len(value_of(operation)) + OPERATION_OVERHEAD_BYTES


def in_batches(operations: Sequence[StoreOperation], limits: CommitLimits) -> list[list[StoreOperation]]:
    """``operations`` in their order, cut into commits within the limits; one that is too large is a commit alone."""
    batches: list[list[StoreOperation]] = []
    size = 0
    for operation in operations:
        size += operation_bytes(operation)
        if not batches or len(batches[-1]) >= limits.operations or size > limits.size_bytes:
            batches.append([])
            size = operation_bytes(operation)
        batches[-1].append(operation)
    return batches


def check_path(path: str) -> None:
    """``ValueError`` unless ``path`` is ``/`` or names led by ``/``, none of them empty, ``.`` or ``..``."""
    if path == "/":
        return
    names = path.split("/")
    if names[0] or len(names) < 2 or any(name in ("", ".", "..") for name in names[1:]) or "\0" in path:
        raise ValueError(f"bad metadata path {path!r}")


def parent_of(path: str) -> str:
    """Path of the parent node; that of a top-level node is ``/``."""
    return path.rpartition("/")[0] or "/"


def join_path(parent: str, name: str) -> str:
    """Path of a child."""
    return f"/{name}" if parent == "/" else f"{parent}/{name}"


async def missing_parents(store: MetadataStore, path: str) -> list[StoreOperation]:
    """Operations that create the parents of ``path`` that do not exist, topmost first."""
    missing: list[StoreOperation] = []
    parent = parent_of(path)
    while parent != "/" and await store.get(parent) is None:
        missing.append(Create(parent))
        parent = parent_of(parent)
    return missing[::-1]


async def deletions_below(store: MetadataStore, path: str) -> list[StoreOperation]:
    """Operations that delete ``path`` and everything below it, deepest first.

    Commit them together: when something was added meanwhile the commit conflicts (``NOT_EMPTY``) and can be repeated.
    """
    return [Delete(each) for each in reversed([path, *await store.descendants(path)])]
