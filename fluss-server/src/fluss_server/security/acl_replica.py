"""The access control entries of a cluster, as a tablet server has them from its coordinator."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.acl import AclEntry, Operation, Resource
from fluss_server.model.identifiers import TablePath
from fluss_server.model.principal import Principal
from fluss_server.security.acl_decisions import AclDecisions


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

    def replace_all(self, entries: Iterable[tuple[Resource, Collection[AclEntry]]]) -> None:
        """Make these all entries there are."""
        for resource in list(self._evaluator.entries):
            self.replace(resource, ())
        for resource, of_resource in entries:
            self.replace(resource, of_resource)
        self._has_entries = True

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
