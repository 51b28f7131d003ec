"""How long fetches wait at a leader: the same rate for many quiet groups of buckets as for few."""

from __future__ import annotations

from fluss_server.tablet.fetch_waits import LONGEST, FetchWaits


class Group:
    """One that fetches."""

    def __init__(self, waits: FetchWaits) -> None:
        self._waits = waits
        self.hurries = 0

    def take(self, *, is_quiet: bool = True, disk_full: bool | None = None) -> int:
        return self._waits.take(self, self.hurry, is_quiet=is_quiet, disk_full=disk_full)

    def hurry(self) -> None:
        self.hurries += 1


def test_one_fetch_at_least_keeps_the_time() -> None:
    waits = FetchWaits(500)
    waits.fetches = 3
    first, second, third = (Group(waits) for _ in range(3))
    assert [first.take(), second.take(), third.take(is_quiet=False)] == [500, 1500, 500]
    for group in (first, third):
        waits.give_back(group)
        waits.give_back(group)
    assert third.take() == 500
    assert first.take() == 1500


def test_the_time_has_a_bound() -> None:
    waits = FetchWaits(500)
    waits.fetches = 1000
    Group(waits).take()
    assert Group(waits).take() == 500 * LONGEST


def test_when_the_one_that_keeps_the_time_goes_another_one_fetches_soon() -> None:
    waits = FetchWaits(500)
    waits.fetches = 3
    first, second, third = (Group(waits) for _ in range(3))
    first.take()
    second.take()
    third.take()
    waits.has_gone(second)
    assert (first.hurries, second.hurries, third.hurries) == (0, 0, 0)
    waits.has_gone(first)
    assert (first.hurries, second.hurries, third.hurries) == (0, 0, 1)


def test_another_state_of_the_disk_is_told_soon() -> None:
    waits = FetchWaits(500)
    waits.fetches = 2
    first, second = Group(waits), Group(waits)
    first.take(disk_full=False)
    second.take(disk_full=False)
    waits.give_back(first)
    first.take(disk_full=True)
    assert (first.hurries, second.hurries) == (0, 1)
