"""The replay of a changelog: the resulting table, and what it objects to."""

from flights_demo.changelog import Replay


def replayed(*changes: tuple[str, tuple[object, ...]]) -> Replay:
    replay = Replay([0])
    for kind, row in changes:
        replay.apply(kind, row)
    return replay


def test_inserts_updates_and_deletes_give_the_last_state() -> None:
    replay = replayed(
        ("+I", ("a", 1)),
        ("+I", ("b", None)),
        ("-U", ("a", 1)),
        ("+U", ("a", 2)),
        ("-D", ("b", None)),
        ("+I", ("b", 7)),
    )
    assert replay.rows == {("a",): ("a", 2), ("b",): ("b", 7)}
    assert replay.finish() == []
    assert replay.changes == {"+I": 3, "-U": 1, "+U": 1, "-D": 1}


def test_insert_of_an_existing_key_is_an_error_but_applied() -> None:
    replay = replayed(("+I", ("a", 1)), ("+I", ("a", 2)))
    assert replay.rows == {("a",): ("a", 2)}
    assert replay.finish() == ["+I of ('a',), which exists already"]


def test_before_image_must_be_the_current_row() -> None:
    replay = replayed(("+I", ("a", 1)), ("-U", ("a", 9)), ("+U", ("a", 2)))
    assert replay.finish() == ["-U of ('a',) with the before image ('a', 9), the row is ('a', 1)"]


def test_delete_of_an_absent_key_is_an_error() -> None:
    assert replayed(("-D", ("a", 1))).finish() == ["-D of ('a',) with the before image ('a', 1), the row is None"]


def test_half_an_update_is_an_error() -> None:
    assert replayed(("+U", ("a", 2))).finish() == ["+U of ('a',) without its -U"]
    assert replayed(("+I", ("a", 1)), ("-U", ("a", 1))).finish() == ["-U of ('a',) without its +U"]


def test_only_the_first_errors_are_kept() -> None:
    assert len(replayed(*[("-D", (n, 1)) for n in range(1000)]).errors) == 20
