"""The ISR of a bucket as its leader knows it. Pure.

The coordinator decides about the ISR, the leader requests changes. While a request is under way, or its outcome is not
known, the coordinator may have taken in a new member already, and may elect it. The leader therefore counts with the
*maximal* ISR: the last one that was confirmed, and everybody whom it has requested to add since.
"""

from __future__ import annotations

from collections.abc import Collection


class InSyncReplicas:
    """The confirmed ISR and the changes that are under way.

    Args:
        members: the ISR that the coordinator has stored.
        bucket_epoch: with which it is stored; every change raises it, and a request names the one that it knows.

    Attributes:
        members: the confirmed ISR.
        maximal: everybody who may be in the ISR.
        bucket_epoch: see above.
        is_requested: whether a request is under way.
    """

    __slots__ = ("_requests", "bucket_epoch", "is_requested", "maximal", "members")

    def __init__(self, members: Collection[int], bucket_epoch: int) -> None:
        self.members = tuple(members)
        self.maximal = frozenset(members)
        self.bucket_epoch = bucket_epoch
        self.is_requested = False
        self._requests = 0  # with this bucket epoch

    @property
    def is_uncertain(self) -> bool:
        """Whether somebody may be in the ISR who is not in the confirmed one."""
        return len(self.maximal) > len(self.members)

    def requested(self, members: Collection[int]) -> None:
        """A request for this ISR is sent."""
        self.is_requested = True
        self.maximal |= frozenset(members)
        self._requests += 1

    def confirmed(self, members: Collection[int], bucket_epoch: int) -> bool:
        """The coordinator has stored this ISR; returns False when that is known, or older than what is known.

        No request with an earlier bucket epoch can succeed any more, whatever became of it.
        """
        if bucket_epoch <= self.bucket_epoch:
            return False
        self.members = tuple(members)
        self.maximal = frozenset(members)
        self.bucket_epoch = bucket_epoch
        self._requests = 0
        return True

    def ended(self, *, refused: bool) -> None:
        """The request has ended without a new ISR.

        Args:
            refused: the coordinator has not taken it in; False = nobody knows. An earlier request of unknown outcome
                may still be, so only the first one has no consequence.
        """
        self.is_requested = False
        if refused and self._requests == 1:
            self.maximal = frozenset(self.members)
            self._requests = 0
