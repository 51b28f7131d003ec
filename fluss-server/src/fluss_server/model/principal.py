"""Who sends requests."""

from __future__ import annotations

from typing import NamedTuple

USER = "User"
"""Type of every principal that logs in with a user name."""


class Principal(NamedTuple):
    """An authenticated client, written ``Type:name``.

    Attributes:
        type: ``User``, or any other word in access control entries.
        name: case-sensitive.
    """

    type: str
    name: str

    def __str__(self) -> str:
        return f"{self.type}:{self.name}"


ANONYMOUS = Principal(USER, "ANONYMOUS")
"""Everybody on a listener that does not authenticate."""
