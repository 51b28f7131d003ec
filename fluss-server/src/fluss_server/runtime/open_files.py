"""The system's bound on open files and connections of this process."""

from __future__ import annotations

import logging
import resource

logger = logging.getLogger(__name__)

_UNLIMITED = 1 << 20  # what counts as no bound
_MAX_RESERVED = 4_000


def raise_open_files_limit() -> int:
    """Raise the soft limit of open files to the hard one; returns how many this process may open now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (OSError, ValueError) as error:  # some systems refuse "unlimited"
            logger.warning("the limit of open files stays at %d: %s", soft, error)
    return _UNLIMITED if soft == resource.RLIM_INFINITY else soft


def connections_for(wanted: int, open_files: int) -> int:
    """How many of ``wanted`` connections are possible, when logs and RocksDB need files too."""
    return min(wanted, max(open_files - _MAX_RESERVED, open_files // 2))
