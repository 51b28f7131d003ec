"""A server with a bug, to see whether the checks of a round find it.

python -m torture.planted_bugs "accept repeated batches" local --port 0 ...
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any
from unittest import mock

from fluss_server.cli.main import main
from fluss_server.log.writer_state import WriterStates


def _accept(self: WriterStates, headers: Any) -> None:
    return None


BUGS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "accept repeated batches": partial(mock.patch.object, WriterStates, "check", _accept),
}

if __name__ == "__main__":
    with BUGS[sys.argv[1]]():
        sys.exit(main(sys.argv[2:]))
