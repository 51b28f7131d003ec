"""Fluss in Python: the servers. See ``docs/architecture.md`` in the repository for the map of the packages."""

__version__ = "0.1.0"
