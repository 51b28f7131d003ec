"""Which event loop a server process runs on."""

from __future__ import annotations

import asyncio
import sys

import pytest

from fluss_server.runtime import event_loop


async def name_of_loop() -> str:
    return type(asyncio.get_running_loop()).__module__


def test_uvloop_where_it_is_installed() -> None:
    pytest.importorskip("uvloop")
    assert event_loop.run(name_of_loop()) == "uvloop"


def test_the_loop_of_the_standard_library_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert event_loop.run(name_of_loop()).startswith("asyncio.")
