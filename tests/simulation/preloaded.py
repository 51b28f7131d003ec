"""What the processes of a simulation share: all imports, and that pyarrow has looked for pandas (0.5 s)."""

from __future__ import annotations

from simulation import planted_bugs, scenarios
from simulation.conversation import log_batch

__all__ = ["planted_bugs", "scenarios"]

log_batch([1], -1, -1)
