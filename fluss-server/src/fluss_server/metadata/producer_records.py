"""Where writers that can be undone began, one node per producer.

``/producers/{producer id}`` holds ``{"version":1,"expiration_time":epoch ms,"offsets":[[table id, partition id or null,
bucket, offset], ...]}``. Apache Fluss keeps the offsets in a file that its node points at.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.identifiers import TableBucket

PRODUCERS = "/producers"


def producer_path(producer_id: str) -> str:
    """Path of the node of a producer."""
    return f"{PRODUCERS}/{producer_id}"


@dataclass(frozen=True, slots=True)
class ProducerRecord:
    """The offsets of one producer.

    Attributes:
        expiration_time: epoch milliseconds; they count up to and including this time.
        offsets: log end offset of each bucket when the producer began.
    """

    expiration_time: int
    offsets: Mapping[TableBucket, int]

    def encode(self) -> bytes:
        entries = [[*bucket, offset] for bucket, offset in self.offsets.items()]
        document = {"version": 1, "expiration_time": self.expiration_time, "offsets": entries}
        return json.dumps(document, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, path: str, value: bytes) -> ProducerRecord:
        """The record in a node.

        Raises:
            FlussError: ``UNKNOWN_SERVER_ERROR`` when it cannot be read.
        """
        try:
            document = json.loads(value)
            offsets = {TableBucket(*bucket): int(offset) for *bucket, offset in document["offsets"]}
            return cls(int(document["expiration_time"]), offsets)
        except (ValueError, KeyError, TypeError) as error:
            raise FlussError(
                ErrorCode.UNKNOWN_SERVER_ERROR, f"metadata node {path} cannot be read: {type(error).__name__}"
            ) from None
