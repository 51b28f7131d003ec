"""Random bytes that nobody may guess. What needs no secrecy uses ``Runtime.random``."""

from __future__ import annotations

import os
from typing import Protocol


class Secrets(Protocol):
    """Source of secret random bytes."""

    def token(self, size: int) -> bytes:
        """``size`` random bytes."""


class SystemSecrets:
    """The operating system's generator."""

    def token(self, size: int) -> bytes:
        return os.urandom(size)
