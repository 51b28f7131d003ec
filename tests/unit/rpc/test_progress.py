from __future__ import annotations

from fluss_server.rpc.progress import Progress


def test_a_position_stalls_when_it_stays_for_the_allowed_time() -> None:
    progress = Progress(7, 100.0)
    assert not progress.stalls(109.9, 7, 10.0)
    assert progress.stalls(110.0, 7, 10.0)
    assert not progress.stalls(110.0, 8, 10.0), "it moved"
    assert not progress.stalls(119.9, 8, 10.0)
    assert progress.stalls(120.0, 8, 10.0)


def test_forgotten_time_does_not_count() -> None:
    progress = Progress(7, 100.0)
    progress.forget()
    assert not progress.stalls(200.0, 7, 10.0)
    assert progress.stalls(210.0, 7, 10.0)
