"""Seconds from the start of the process to ``Fluss is ready``, and resident memory when idle."""

from __future__ import annotations

import argparse
import time

from fluss_server.testing import LocalCluster
from support import median, print_table, resident_mb


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    runs = parser.parse_args().runs
    seconds, memory = [], []
    for _ in range(runs):
        begin = time.perf_counter()
        with LocalCluster() as cluster:
            seconds.append(time.perf_counter() - begin)
            memory.append(resident_mb(cluster.pid))
    print_table(
        f"fluss local, {runs} starts",
        ["", "median", "worst"],
        [
            ["start to ready", f"{median(seconds):.3f} s", f"{max(seconds):.3f} s"],
            ["memory when idle", f"{median(memory):.0f} MB", f"{max(memory):.0f} MB"],
        ],
    )


if __name__ == "__main__":
    main()
