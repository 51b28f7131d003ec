"""A server with a bug, to see whether the checks of a run find it.

    python -m chaos.planted_bugs "acknowledge before replication" tablet-server --id 0 ...

The bugs are those that the simulation plants.
"""

from __future__ import annotations

import sys

from fluss_server.cli.main import main
from simulation.planted_bugs import BUGS

if __name__ == "__main__":
    with BUGS[sys.argv[1]]():
        sys.exit(main(sys.argv[2:]))
