"""The access control entries of a cluster, as a tablet server has them from its coordinator."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.acl import AclEntry, Operation, Resource
from fluss_server.model.identifiers import TablePath
from fluss_server.model.principal import Principal
from fluss_server.security.acl_decisions import AclDecisions
from fluss_server.security.acl_evaluator import AclEvaluator


class AclChange:
    """Entries that are to take the place of others, collected part by part; see :meth:`AclReplica.begin`."""

    def __init__(self, evaluator: AclEvaluator, snapshot: bool) -> None:
        self.evaluator = evaluator
        self.snapshot = snapshot
        self.resources: dict[Resource, None] = {}

    def add(self, acls: Iterable[tuple[Resource, Collection[AclEntry]]]) -> None:
        """Add all entries of some resources."""
        for resource, entries in acls:
            self.evaluator.replace(resource, entries)
            self.resources[resource] = None


class AclReplica(AclDecisions):
    """Decides as the coordinator does, while it is known that its entries are not older than a limit.

    Super users are those of this server's own options and may always do everything: the coordinator is one of them, and
    it has to get through to bring the entries.

    Args:
        super_users: may do everything.
        ignore_case: principals that differ in case only are the same.
        monotonic: seconds.
        max_age_s: how long the entries count after the coordinator was last heard to have no others.
    """

    def __init__(
        self,
        super_users: Collection[Principal],
        *,
        ignore_case: bool,
        monotonic: Callable[[], float],
        max_age_s: float,
    ) -> None:
        super().__init__(super_users, ignore_case=ignore_case)
        self._monotonic = monotonic
        self._max_age_s = max_age_s
        self._valid_until = -math.inf
        self._has_entries = False

    def begin(self, *, snapshot: bool) -> AclChange:
        """A change of entries that has no effect before it is complete.

        Args:
            snapshot: whether what is not in it is gone.
        """
        return AclChange(self._evaluator.empty(), snapshot)

    def complete(self, change: AclChange) -> None:
        """Make a change effective, from the next request on."""
        if change.snapshot:
            self._evaluator = change.evaluator
            self._has_entries = True
        else:
            self._evaluator.take_over(change.evaluator, change.resources)
        self._results.clear()

    def confirm(self, at: float) -> None:
        """The entries were those of the coordinator ``at`` some time of the monotonic clock."""
        if self._has_entries:
            self._valid_until = max(self._valid_until, at + self._max_age_s)

    def allows(self, principal: Principal, host: str, operation: Operation, resource: Resource) -> bool:
        self._check_age(principal)
        return super().allows(principal, host, operation, resource)

    def allows_table(
        self, principal: Principal, host: str, operation: Operation, table_id: int, path: TablePath | None
    ) -> bool:
        self._check_age(principal)
        return super().allows_table(principal, host, operation, table_id, path)

    def _check_age(self, principal: Principal) -> None:
        if self._monotonic() >= self._valid_until and not self._evaluator.is_super_user(principal):
            raise FlussError(
                ErrorCode.NETWORK_EXCEPTION,
                "this tablet server has not heard from the coordinator which permissions there are"
                + (f" for more than {self._max_age_s:.0f} s" if self._has_entries else " since it started"),
                hint="it serves super users only, until it hears from the coordinator",
            )
