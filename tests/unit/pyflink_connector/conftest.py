"""The tests of the connector's Python package run in the Flink environment."""

from __future__ import annotations

import importlib.util

if importlib.util.find_spec("pyflink") is None:
    collect_ignore_glob = ["*.py"]
