"""What a bucket must hold: every acknowledged batch, once, and of those without a response the first few or none.

A writer sends its batches one after the other, several at a time, so that without responses any number of the first of
them may have arrived. Nothing here knows the server.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

Row = tuple[Any, ...]
Item = TypeVar("Item")

_ID_STEP = 1_000_000
"""Ids of a writer's rows: number of the writer times this, and following."""


def text_of(number: int) -> str:
    """The text of a row with this id, so that any other is wrong: 0 to about 300 characters."""
    return f"{number * 2_654_435_761 % 4_294_967_296:x}" * (number * 7_919 % 38)


@dataclass
class Sent:
    """The batches of one writer for one bucket.

    Attributes:
        batches: in the order of their sequence numbers.
        acknowledged: how many of the first ones.
    """

    batches: list[Any] = field(default_factory=list)
    acknowledged: int = 0

    def lengths(self, *, complete: bool) -> range:
        """How many batches may be there: all that are acknowledged, or fewer where a loss was reported."""
        return range(self.acknowledged if complete else 0, len(self.batches) + 1)


class LogModel:
    """Rows of one bucket of a log table, as (id, text); every writer has a number."""

    def __init__(self) -> None:
        self.writers: dict[int, Sent] = {}

    def new_ids(self, writer: int, count: int) -> list[int]:
        """Ids for the next rows of a writer, which are noted as a batch that was sent."""
        sent = self.writers.setdefault(writer, Sent())
        first = writer * _ID_STEP + sum(map(len, sent.batches))
        sent.batches.append(list(range(first, first + count)))
        return list(sent.batches[-1])

    def acknowledge(self, writer: int, batches: int) -> None:
        """The writer got responses for its first ``batches``."""
        self.writers[writer].acknowledged = max(self.writers[writer].acknowledged, batches)

    def check(self, rows: Iterable[Row], *, complete: bool, acknowledged: Mapping[int, int] | None = None) -> list[str]:
        """What is wrong with rows that were read from the start of the bucket.

        Args:
            rows: in the order of the log.
            complete: False when something after them is reported as lost.
            acknowledged: batches by writer when reading began; None = nothing was written meanwhile.
        """
        found: dict[int, list[int]] = {}
        problems = []
        for number, text in rows:
            if text != text_of(number):
                problems.append(f"row {number} has wrong data: {text!r:.60}")
            found.setdefault(number // _ID_STEP, []).append(number)
        strangers = found.keys() - self.writers.keys()
        problems += [f"rows that nobody wrote: {found[writer][:5]}" for writer in strangers]
        for writer, sent in self.writers.items():
            if acknowledged is not None:
                sent = Sent(sent.batches, acknowledged.get(writer, 0))
            problems += _check_writer(writer, sent, found.get(writer, []), complete)
        return problems

    @property
    def acknowledged_rows(self) -> int:
        return sum(len(batch) for sent in self.writers.values() for batch in sent.batches[: sent.acknowledged])


def _check_writer(writer: int, sent: Sent, found: Sequence[int], complete: bool) -> list[str]:
    for length in sent.lengths(complete=complete):
        if [number for batch in sent.batches[:length] for number in batch] == found:
            return []
    expected = [number for batch in sent.batches[: sent.acknowledged] for number in batch]
    known = {number for batch in sent.batches for number in batch}
    if missing := sorted(set(expected) - set(found)):
        what = f"{len(missing)} acknowledged rows are missing: {missing[:5]}"
    elif len(set(found)) != len(found):
        what = f"rows are there twice: {sorted({row for row in found if found.count(row) > 1})[:5]}"
    elif foreign := sorted(set(found) - known):
        what = f"rows that nobody wrote: {foreign[:5]}"
    else:
        what = "the order is wrong, or a batch is there in part"
    return [f"writer {writer}: {what} ({len(expected)} acknowledged, {len(found)} found)"]


Change = tuple[int, Row | None]
"""Key, and the row that is upserted; None deletes it."""


class KeyedModel:
    """Rows of one bucket of a primary-key table, by key; writers have keys of their own.

    Args:
        sums: the second column is a sum of what was upserted.
    """

    def __init__(self, *, sums: bool = False) -> None:
        self.writers: dict[int, Sent] = {}
        self._sums = sums

    def send(self, writer: int, changes: Sequence[Change]) -> None:
        """Note a batch that is about to be sent."""
        self.writers.setdefault(writer, Sent()).batches.append(list(changes))

    def acknowledge(self, writer: int, batches: int) -> None:
        """The writer got responses for its first ``batches``."""
        self.writers[writer].acknowledged = max(self.writers[writer].acknowledged, batches)

    def keys(self) -> list[int]:
        """All keys that were ever written."""
        return sorted({key for sent in self.writers.values() for batch in sent.batches for key, _ in batch})

    def check(self, found: Mapping[int, Row], *, complete: bool) -> list[str]:
        """What is wrong with the rows of the table, see :meth:`LogModel.check`."""
        problems = []
        owners = {key: writer for writer, sent in self.writers.items() for batch in sent.batches for key, _ in batch}
        if foreign := sorted(found.keys() - owners.keys()):
            problems.append(f"keys that nobody wrote: {foreign[:5]}")
        for writer, sent in self.writers.items():
            mine = {key: row for key, row in found.items() if owners.get(key) == writer}
            if mine not in self._states(sent, complete):
                expected = self._states(sent, True)[0]
                wrong = [key for key in sorted({*mine, *expected}) if mine.get(key) != expected.get(key)]
                problems.append(
                    f"writer {writer}: {len(wrong)} keys differ, for example {wrong[:1]}:"
                    f" {mine.get(wrong[0])!r:.80} instead of {expected.get(wrong[0])!r:.80}"
                )
        return problems

    def _states(self, sent: Sent, complete: bool) -> list[dict[int, Row]]:
        """The states that are right, the one with the fewest batches first."""
        lengths = sent.lengths(complete=complete)
        state: dict[int, Row] = {}
        states = []
        for length in range(lengths.stop):
            if length:
                for key, row in sent.batches[length - 1]:
                    self._apply(state, key, row)
            if length in lengths:
                states.append(dict(state))
        return states

    def _apply(self, state: dict[int, Row], key: int, row: Row | None) -> None:
        if row is None:
            state.pop(key, None)
        elif self._sums and key in state:
            state[key] = (row[0], state[key][1] + row[1], *row[2:])
        else:
            state[key] = row


class NamesModel:
    """Names of tables, or of partitions, that are created and dropped; the newest attempt may have no response."""

    def __init__(self) -> None:
        self._states: dict[str, tuple[bool, bool]] = {}  # whether it should be there, whether that is acknowledged

    def begin(self, name: str, *, present: bool) -> None:
        """A request that creates or drops is about to be sent."""
        self._states[name] = (present, False)

    def acknowledge(self, name: str) -> None:
        """It got its response."""
        self._states[name] = (self._states[name][0], True)

    def is_present(self, name: str) -> bool:
        """Whether it was created for certain, and no attempt to drop it was made."""
        return self._states.get(name) == (True, True)

    def check(self, found: Iterable[str]) -> list[str]:
        """What is wrong with the names that the server lists."""
        names = set(found)
        problems = []
        for name in sorted(self._states.keys() | names):
            present, known = self._states.get(name, (False, True))
            if known and present != (name in names):
                problems.append(f"{name} is {'missing' if present else 'there, although it was dropped'}")
        return problems
