"""How many examples property tests try: few in the fast tier, more in ``make test``, as many as one likes by hand."""

from __future__ import annotations

import os

_FACTOR = float(os.environ.get("FLUSS_EXAMPLES", "1"))


def examples(fast: int) -> int:
    """``max_examples`` of a test: ``fast``, times the number in the variable ``FLUSS_EXAMPLES``."""
    return max(1, round(fast * _FACTOR))
