"""Who takes part in the election of the active coordinator."""

from __future__ import annotations

from typing import NamedTuple


class Participant(NamedTuple):
    """A node of the election.

    Attributes:
        node: its name, unique among all participants that there ever were.
        participant_id: of the coordinator; the same for all its nodes.
    """

    node: str
    participant_id: str
