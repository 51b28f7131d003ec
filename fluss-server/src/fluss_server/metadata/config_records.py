"""Settings of the cluster that were changed while it ran: ``{"version":1,"configs":{key: value or null}}``."""

from __future__ import annotations

import json
from collections.abc import Mapping

from fluss_server.errors import ErrorCode, FlussError

SERVER_CONFIG = "/config/server/global"


def encode_server_config(configs: Mapping[str, str | None]) -> bytes:
    """The value of the node."""
    return json.dumps({"version": 1, "configs": dict(configs)}, separators=(",", ":"), ensure_ascii=False).encode()


def decode_server_config(value: bytes) -> dict[str, str | None]:
    """The settings in the node.

    Raises:
        FlussError: ``UNKNOWN_SERVER_ERROR`` when they cannot be read.
    """
    try:
        configs = json.loads(value)["configs"]
        if not isinstance(configs, dict) or not all(
            entry is None or isinstance(entry, str) for entry in configs.values()
        ):
            raise TypeError("configs must map text to text")
    except (ValueError, KeyError, TypeError) as error:
        raise FlussError(
            ErrorCode.UNKNOWN_SERVER_ERROR,
            f"metadata node {SERVER_CONFIG} cannot be read: {type(error).__name__}",
        ) from None
    return configs
