"""Fixtures of the unit tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from scratch_support import scratch_directory


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Instead of pytest's, which is on a disk: waiting for it took half of the time of these tests."""
    directory = scratch_directory()
    yield directory
    shutil.rmtree(directory, ignore_errors=True)
