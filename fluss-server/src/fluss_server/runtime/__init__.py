"""Everything a server takes from the machine, behind interfaces that tests and the simulation replace.

:class:`Runtime` bundles them. The programs (``cli``, ``local``, ``testing``) make one and hand it down; nothing below
them reads a clock, a file, a socket or a random source in any other way (``tests/unit/test_runtime_seam.py``).
"""

from fluss_server.runtime.clock import Clock, ManualClock, SystemClock
from fluss_server.runtime.disk import Disk, DiskFile, DiskUsage, FileRegion
from fluss_server.runtime.network import DirectOutput, Network, NetworkServer
from fluss_server.runtime.randomness import Secrets
from fluss_server.runtime.runtime import Runtime, system_runtime
from fluss_server.runtime.workers import InlineWorkers, Lock, WorkerPool, Workers

__all__ = [
    "Clock",
    "DirectOutput",
    "Disk",
    "DiskFile",
    "DiskUsage",
    "FileRegion",
    "InlineWorkers",
    "Lock",
    "ManualClock",
    "Network",
    "NetworkServer",
    "Runtime",
    "Secrets",
    "SystemClock",
    "WorkerPool",
    "Workers",
    "system_runtime",
]
