"""The formats of what commands print."""

from __future__ import annotations

from enum import Enum


class OutputFormat(str, Enum):
    """``--output``."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    ARROW = "arrow"
