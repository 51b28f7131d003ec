"""What the formats accept as bytes."""

from __future__ import annotations

from typing import TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview
"""Contiguous bytes. A ``memoryview`` must have format ``B`` and one dimension."""
