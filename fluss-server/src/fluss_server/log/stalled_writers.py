"""Writers whose batches are out of order for so long that the missing one will not come any more."""

from __future__ import annotations

from typing import NamedTuple

from fluss_server.errors import ErrorCode, FlussError

GRACE_PERIOD_MS = 60_000
"""How long a writer must have been refused."""

MIN_REFUSALS = 10
"""How often it must have been refused meanwhile."""

_MAX_WRITERS = 1_000


class _Refusals(NamedTuple):
    since_ms: int
    times: int


class StalledWriters:
    """Tells a batch that is too early from one that can never be taken.

    A client that has several batches in flight may send the later ones again and again while the one before them is
    being repeated; OUT_OF_ORDER_SEQUENCE makes it do so. When the client has dropped the missing batch (its retries are
    used up), that never ends. So the owner of this object reports every refusal and every batch that was in order, and
    a writer that was refused for :data:`GRACE_PERIOD_MS` without one in order gets UNKNOWN_WRITER_ID: clients then fail
    the batch to their user, take a new writer id and begin at 0 (docs/decisions/0007).

    Pure state; bounded: of too many refused writers the one refused first is forgotten.
    """

    def __init__(self) -> None:
        self._refusals: dict[int, _Refusals] = {}

    def __bool__(self) -> bool:
        """Whether any writer was refused and has not been in order since."""
        return bool(self._refusals)

    def in_order(self, writer_id: int) -> None:
        """The writer has sent the batch that was due, whatever became of it."""
        self._refusals.pop(writer_id, None)

    def refused(self, writer_id: int, now_ms: int, error: FlussError) -> FlussError:
        """The response for a writer whose batch is out of order: ``error``, or that its id is not known any more."""
        refusals = self._refusals.get(writer_id)
        if refusals is None:
            if len(self._refusals) >= _MAX_WRITERS:
                del self._refusals[next(iter(self._refusals))]
            refusals = _Refusals(now_ms, 0)
        self._refusals[writer_id] = refusals = refusals._replace(times=refusals.times + 1)
        if refusals.times < MIN_REFUSALS or now_ms - refusals.since_ms < GRACE_PERIOD_MS:
            return error
        return FlussError(
            ErrorCode.UNKNOWN_WRITER_ID_EXCEPTION,
            f"{error.message}; that has not come for {now_ms - refusals.since_ms} ms",
            hint="begin again with a new writer id; a batch before this one was lost by the client",
        )
