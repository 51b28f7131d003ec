"""The checks of a run find what they are for, and nothing in a history that is right."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from chaos.checks import Row, check_changelog, check_log, check_lookups, check_replicas, check_seen, state_of
from chaos.experiment import Plan, Result
from chaos.history import OK, History, Lookup, Version, Window, longest_gap
from chaos.report import by_kind, markdown, pictures, publish, summary
from fluss_server.formats.log_batch import ChangeType

INSERT, BEFORE, AFTER, DELETE = (
    int(change) for change in (ChangeType.INSERT, ChangeType.UPDATE_BEFORE, ChangeType.UPDATE_AFTER, ChangeType.DELETE)
)


def log(*numbers: int) -> list[Row]:
    return [Row(offset, 0, number, "") for offset, number in enumerate(numbers)]


@pytest.mark.parametrize(
    ("rows", "acknowledged", "expected"),
    [
        (log(1, 2, 3), [[1, 2], [3]], []),
        (log(1, 3, 2), [[1, 2], [3]], []),
        (log(1, 2, 4), [[1, 2]], []),
        (log(1, 3), [[1, 2], [3]], ["lost write"]),
        (log(1, 2, 1), [[1, 2]], ["duplicate", "order"]),
        (log(2, 1), [[1, 2]], ["order"]),
        (log(1, 9), [[1]], ["phantom"]),
    ],
)
def test_rows_of_a_log(rows: list[Row], acknowledged: list[list[int]], expected: list[str]) -> None:
    assert [violation.kind for violation in check_log(0, rows, acknowledged, {1, 2, 3, 4})] == expected


def test_what_a_reader_has_seen() -> None:
    final = log(1, 2, 3)
    assert not list(check_seen("b", final[:2], final))
    assert [found.kind for found in check_seen("b", log(1, 5), final)] == ["inconsistent offset"]
    assert [found.kind for found in check_seen("b", log(1, 2, 3, 4), final)] == ["inconsistent offset"]
    assert [found.kind for found in check_seen("b", [final[0], final[2]], final)] == ["poll skip"]


VERSIONS = {
    7: [
        Version(0, "a", 1.0, 2.0),
        Version(1, None, 3.0, 4.0),
        Version(2, "b", 5.0, 6.0),
        Version(3, "c", 7.0, 8.0),
        Version(4, "d", 9.0, None),
    ]
}
CHANGES = [(INSERT, "a"), (DELETE, "a"), (INSERT, "b"), (BEFORE, "b"), (AFTER, "c")]


def changelog(*changes: tuple[int, str]) -> list[Row]:
    return [Row(offset, change, 7, value) for offset, (change, value) in enumerate(changes)]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (CHANGES, []),
        ([*CHANGES, (BEFORE, "c"), (AFTER, "d")], []),
        (CHANGES[:-2], ["lost write"]),
        ([*CHANGES[:-2], (BEFORE, "a"), (AFTER, "c")], ["changelog"]),
        ([*CHANGES[:3], *CHANGES[3:], *CHANGES[3:]], ["changelog"]),
    ],
)
def test_changes_of_a_key(changes: list[tuple[int, str]], expected: list[str]) -> None:
    assert [violation.kind for violation in check_changelog(0, changelog(*changes), VERSIONS)] == expected


def test_a_key_that_nobody_has_written() -> None:
    assert [violation.kind for violation in check_changelog(0, changelog(*CHANGES), {})] == ["phantom"]


def test_the_state_after_a_changelog() -> None:
    assert state_of(changelog(*CHANGES)) == {7: "c"}
    assert state_of(changelog(*CHANGES[:2])) == {}


@pytest.mark.parametrize(
    ("lookups", "expected"),
    [
        ([Lookup(7, 2.5, 2.6, "a"), Lookup(7, 4.5, 4.6, None), Lookup(7, 6.5, 6.6, "b")], []),
        ([Lookup(7, 1.1, 1.2, None), Lookup(7, 1.3, 1.4, "a")], []),
        ([Lookup(7, 1.1, 9.5, "b")], []),
        ([Lookup(7, 9.5, 9.6, "d"), Lookup(7, 9.7, 9.8, "d")], []),
        ([Lookup(7, 2.5, 2.6, None)], ["stale lookup"]),
        ([Lookup(7, 8.5, 8.6, "b")], ["stale lookup"]),
        ([Lookup(7, 1.1, 1.2, "a"), Lookup(7, 1.3, 1.4, None)], ["stale lookup"]),
        ([Lookup(7, 9.5, 9.6, "d"), Lookup(7, 9.7, 9.8, "c")], ["stale lookup"]),
        ([Lookup(7, 2.5, 2.6, "b")], ["lookup of the future"]),
        ([Lookup(7, 2.5, 2.6, "z")], ["phantom"]),
    ],
)
def test_lookups_of_a_key(lookups: list[Lookup], expected: list[str]) -> None:
    assert [violation.kind for violation in check_lookups(lookups, VERSIONS)] == expected


def test_replicas_are_compared_byte_by_byte(tmp_path: Path) -> None:
    directories = {}
    for name, segments in {"one": [b"ab", b"cd"], "two": [b"abcd"], "three": [b"abc", b"d"]}.items():
        log_directory = tmp_path / name / "fluss" / "t-1" / "log-0"
        log_directory.mkdir(parents=True)
        for number, content in enumerate(segments):
            (log_directory / f"{number:020}.log").write_bytes(content)
        directories[name] = tmp_path / name
    assert not list(check_replicas(directories, ["t-1"]))
    (tmp_path / "two" / "fluss" / "t-1" / "log-0" / f"{0:020}.log").write_bytes(b"abcx")
    assert [found.kind for found in check_replicas(directories, ["t-1"])] == ["replicas differ"]
    assert [found.kind for found in check_replicas(directories, ["t-2"])] == ["replicas differ"], "none was found"


def test_the_longest_time_without_an_acknowledgement() -> None:
    times = [1.0, 2.0, 5.0, 5.5, 9.0]
    assert longest_gap(times, 2.5, 5.2) == 3.0
    assert longest_gap(times, 5.0, 6.0) == 3.5
    assert longest_gap(times, 9.5, 12.0) == 3.0
    assert longest_gap([], 1.0, 3.0) == 2.0


def test_a_history_counts_and_measures(tmp_path: Path) -> None:
    history = History(tmp_path / "history.jsonl")
    for time in (1.0, 1.1, 4.0):
        history.note_done("append", 0, time - 0.1, time, OK, first=1)
    history.note_done("append", 1, 1.0, 1.1, OK)
    history.note_window(Window("kill", "server-0", 1.05, 1.2, 2.0))
    history.close()
    assert [round(gap, 3) for _, gap in history.unavailability("append")] == [2.9]
    assert history.operations == {("append", OK): 4}
    assert len((tmp_path / "history.jsonl").read_text().splitlines()) == 5


def found_in_a_run() -> dict[str, Any]:
    history = History()
    for second in range(60):
        for bucket in range(2):
            history.note_done("append", bucket, second, second + 0.5, OK)
    history.note_window(Window("kill leader", "server-0", 10.0, 12.0, 14.0))
    history.note_window(Window("kill leader + full disk", "server-1, server-2", 20.0, 22.0, 24.0))
    return summary("servers <of a test>", Plan(seed=5), Result(history, seconds=60.5))


def test_throughput_is_counted_by_second() -> None:
    counts = found_in_a_run()["throughput"]
    assert counts["append"] == [2] * 60 + [0]
    assert counts["lookup"] == [0] * 61


def test_pairs_of_faults_are_one_kind() -> None:
    gaps = {"cut + kill": {"append": [3.0]}, "full disk + kill": {"append": [1.0, 2.0]}, "pause": {"append": [0.5]}}
    assert by_kind(gaps) == {"pause": {"append": [0.5]}, "two at the same time": {"append": [1.0, 2.0, 3.0]}}


def test_pictures_have_every_fault() -> None:
    drawn = {name: ElementTree.fromstring(text) for name, text in pictures(found_in_a_run()).items()}
    elements = {name: Counter(element.attrib.get("class") for element in each.iter()) for name, each in drawn.items()}
    assert elements["throughput"]["fault"] == 2 * 3  # a panel for each operation
    assert elements["unavailability"]["dot a"] == 1 + 2  # the legend, and the faults
    [line] = [element for element in drawn["throughput"].iter() if element.attrib.get("class") == "line a"]
    assert len(line.attrib["points"].split()) == 61


def test_violations_are_counted_by_kind() -> None:
    violations = [{"kind": "lost write", "text": "bucket 0:\n1 | 2"}] + 2 * [{"kind": "broken", "text": "x" * 400}]
    text = markdown({**found_in_a_run(), "violations": violations})
    assert ", 3 violations (" in text
    assert "| lost write | 1 | bucket 0: 1 \\| 2 |" in text
    assert f"| broken | 2 | {'x' * 300}... |" in text


def test_results_are_put_into_a_document(tmp_path: Path) -> None:
    document = tmp_path / "report.txt"
    document.write_text("a\n<!-- results: ours -->\nold\n<!-- end of results -->\nb\n")
    found = found_in_a_run()
    publish(document, "ours", {**found, "seed": 4})
    publish(document, "ours", found)
    text = document.read_text()
    assert text.startswith("a\n<!-- results: ours -->\n\nservers <of a test>, seed 5: 1.0 minutes, 2 faults")
    assert text.endswith("\n<!-- end of results -->\nb\n")
    assert "seed 4" not in text
    assert "| kill leader | 1 | 1.00, 1.00, 1.00 |" in text
    assert "| append | 0 | 0 | 2 | 0 | 0 | 0 | 0 |" in text, "both faults: a second without an append"
    for name in ("throughput", "unavailability"):
        assert f"](assets/chaos-ours-{name}.svg)" in text
        assert (tmp_path / "assets" / f"chaos-ours-{name}.svg").read_text().startswith("<svg")
    with pytest.raises(ValueError, match="0 places"):
        publish(document, "theirs", found)
