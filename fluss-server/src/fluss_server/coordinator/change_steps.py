"""Cuts a change that is too large for one commit into several, so that a crash between them leaves something harmless.

What counts is the *registration*: the node of a table or partition under its name. Without it, or when its value is
empty, the table does not exist, whatever else of it is stored; a start of a coordinator removes that
(``orphans.py``). So the registration is created last, and goes first.

A change that one commit can hold is one commit.
"""

from __future__ import annotations

from collections.abc import Sequence

from fluss_server.metadata.store import CommitLimits, Set, StoreOperation, in_batches

Steps = list[list[StoreOperation]]


def creation_steps(
    parts: Sequence[StoreOperation], registration: Sequence[StoreOperation], limits: CommitLimits
) -> Steps:
    """Commits that create something.

    Args:
        parts: everything else, beginning with what must not happen twice: the use of an id.
        registration: operations that make it exist, all in one commit.
        limits: of one commit.
    """
    whole = [*parts, *registration]
    if limits.allow(whole):
        return [whole]
    return [*in_batches(parts, limits), list(registration)]


def deletion_steps(
    path: str,
    registration: Sequence[StoreOperation],
    parts: Sequence[StoreOperation],
    limits: CommitLimits,
    also: Sequence[StoreOperation] = (),
) -> Steps:
    """Commits that delete something.

    Args:
        path: of the node that makes it exist.
        registration: operations that delete that node and what is below it, deepest first; empty when it is gone.
        parts: deletions of everything else, deepest first.
        limits: of one commit.
        also: what the deletion changes elsewhere. It comes first, and any part of it may be stored without the rest.
    """
    whole = [*also, *registration, *parts]
    if limits.allow(whole):
        return [whole] if whole else []
    steps = in_batches(also, limits)
    if limits.allow(registration):
        return [*steps, *([list(registration)] if registration else []), *in_batches(parts, limits)]
    return [*steps, *in_batches([Set(path, b""), *registration, *parts], limits)]
