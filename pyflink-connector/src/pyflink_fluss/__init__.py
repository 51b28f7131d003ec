"""Fluss for PyFlink: sources, sinks and the catalog in PyFlink's own style, and the jar that they need.

After a regular `pip install` the SQL side works without this package: `CREATE CATALOG c WITH ('type'='fluss', ...)`.
"""

from pyflink_fluss.catalog import FlussCatalog
from pyflink_fluss.jar import add_jar, is_on_class_path, jar_path
from pyflink_fluss.offsets import OffsetsInitializer
from pyflink_fluss.sink import FlussSink, FlussSinkBuilder
from pyflink_fluss.source import FlussSource, FlussSourceBuilder
from pyflink_fluss.version import __version__

__all__ = [
    "FlussCatalog",
    "FlussSink",
    "FlussSinkBuilder",
    "FlussSource",
    "FlussSourceBuilder",
    "OffsetsInitializer",
    "__version__",
    "add_jar",
    "is_on_class_path",
    "jar_path",
]
