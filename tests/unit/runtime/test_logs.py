"""The log as text and as JSON, and its protection against floods."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from fluss_server.runtime import logs
from fluss_server.runtime.logs import BURST, FloodFilter, configure_logs


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_json_lines() -> None:
    stream = io.StringIO()
    configure_logs("info", "json", stream)
    log = logging.getLogger("fluss_server.some.module")
    log.debug("not shown")
    log.warning("%s took %d ms", "LOOKUP ü", 7000, extra={"event": "slow_request", "elapsed_ms": 7000, "api": "LOOKUP"})
    try:
        raise ValueError("why")
    except ValueError:
        log.exception("failed\nbadly")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first.pop("time").endswith("Z")
    assert first == {
        "level": "warning",
        "logger": "fluss_server.some.module",
        "message": "LOOKUP ü took 7000 ms",
        "event": "slow_request",
        "api": "LOOKUP",
        "elapsed_ms": 7000,
    }
    assert (second["level"], second["message"]) == ("error", "failed\nbadly")
    assert second["exception"].endswith("ValueError: why")


def test_text_lines() -> None:
    stream = io.StringIO()
    configure_logs("warning", "text", stream)
    logging.getLogger("a.b").warning("something %s", "happened")
    assert stream.getvalue().endswith(" WARNING a.b: something happened\n")


def test_a_flood_is_cut_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    configure_logs("warning", "text", stream)
    log = logging.getLogger("a.b")
    for number in range(BURST + 20):
        log.warning("client %d is strange", number)
        log.warning("another place") if number == 0 else None
    assert len(stream.getvalue().splitlines()) == BURST + 1
    monkeypatch.setattr(logs, "WINDOW_S", -1.0)  # the next window begins
    log.warning("client %d is strange", 999)
    assert stream.getvalue().endswith("client 999 is strange [20 more like this were left out]\n")
    log.warning("client %d is strange", 1000)
    assert stream.getvalue().endswith("client 1000 is strange\n")


def test_the_filter_forgets() -> None:
    flood = FloodFilter()
    for number in range(3_000):
        record = logging.LogRecord("a", logging.WARNING, "", 0, f"place {number}", (), None)
        record.created = number * 100.0
        assert flood.filter(record)
    assert len(flood._seen) == 1
