"""Where a source starts to read a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyflink.java_gateway import get_gateway

if TYPE_CHECKING:
    from py4j.java_gateway import JavaObject


class OffsetsInitializer:
    """The position at which a source without a checkpoint starts.

    A restored job goes on where its checkpoint was taken, whatever is set here.
    """

    def __init__(self, j_initializer: JavaObject) -> None:
        self._j_initializer = j_initializer

    @staticmethod
    def full() -> OffsetsInitializer:
        """Everything: a log table's records; a primary-key table's rows first, then the changes after them."""
        return OffsetsInitializer(get_gateway().jvm.io.fluss.flink.source.OffsetsInitializer.full())

    @staticmethod
    def earliest() -> OffsetsInitializer:
        """From the earliest record of the log (of a primary-key table: of its changelog)."""
        return OffsetsInitializer(get_gateway().jvm.io.fluss.flink.source.OffsetsInitializer.earliest())

    @staticmethod
    def latest() -> OffsetsInitializer:
        """Only what is written after the source has started."""
        return OffsetsInitializer(get_gateway().jvm.io.fluss.flink.source.OffsetsInitializer.latest())

    @staticmethod
    def timestamp(timestamp_ms: int) -> OffsetsInitializer:
        """From the first batch written at or after `timestamp_ms`, in milliseconds since the epoch."""
        jvm = get_gateway().jvm
        return OffsetsInitializer(jvm.io.fluss.flink.source.OffsetsInitializer.timestamp(timestamp_ms))
