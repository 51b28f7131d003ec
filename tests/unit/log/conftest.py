"""Fixtures of the tests of the log."""

from __future__ import annotations

import os

import pytest

from fluss_server.runtime import system_disk


@pytest.fixture
def without_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests in which nothing loses power and hundreds of logs are opened."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)
    monkeypatch.setattr(system_disk, "_datasync", lambda fd: None)
