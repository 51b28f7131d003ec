"""The version of the distribution; the jar in flink-sql/ carries the same one."""

__version__ = "0.1.0"
