"""``python -m fluss_server`` is the ``fluss`` command."""

import sys

from fluss_server.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
