"""Too many waiting fetches: the oldest are answered."""

from __future__ import annotations

from fluss_server.tablet.parked_fetches import ParkedFetches


def test_the_oldest_gives_way() -> None:
    parked = ParkedFetches(3)
    answered: list[int] = []
    wakes = [lambda number=number: answered.append(number) for number in range(6)]
    for wake in wakes[:3]:
        parked.enter(1, wake)
    parked.leave(wakes[1])
    parked.leave(wakes[1])
    parked.enter(16, wakes[3])
    assert (answered, parked.places, len(parked)) == ([], 3, 3)
    parked.enter(17, wakes[4])
    assert (answered, parked.places, parked.shed) == ([0, 2], 3, 2)
    parked.enter(1000, wakes[5])
    assert (answered, parked.places) == ([0, 2, 3, 4], 63), "one may always wait"
    parked.leave(wakes[5])
    assert (parked.places, len(parked)) == (0, 0)
