"""What the processes of a simulation share: all imports, and that pyarrow has looked for pandas (0.5 s)."""

from __future__ import annotations

from simulation import full_run, planted_bugs
from simulation.conversation import log_batch

__all__ = ["full_run", "planted_bugs"]

log_batch([1], -1, -1)
