"""What the benchmarks share: rows, CPU time of the server, medians, a table."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("user_id", pa.int64()),
        pa.field("item", pa.int32()),
        pa.field("price", pa.decimal128(10, 2)),
        pa.field("quantity", pa.int32()),
        pa.field("score", pa.float64()),
        pa.field("at", pa.timestamp("ms")),
        pa.field("country", pa.string()),
        pa.field("page", pa.string()),
        pa.field("agent", pa.string()),
    ]
)


def batch_of(start: int, count: int, *, modulo: int | None = None) -> pa.RecordBatch:
    """``count`` rows with ids from ``start`` on (modulo ``modulo``), about 190 bytes each."""
    ids = [value if modulo is None else value % modulo for value in range(start, start + count)]
    return pa.RecordBatch.from_pydict(
        {
            "id": ids,
            "user_id": [value * 7919 % 1_000_003 for value in ids],
            "item": [value % 5000 for value in ids],
            "price": pa.array([value % 100_000 for value in ids], pa.int64())
            .cast(pa.decimal128(19, 0))
            .cast(pa.decimal128(10, 2)),
            "quantity": [1 + value % 9 for value in ids],
            "score": [value * 0.37 for value in ids],
            "at": pa.array([1_760_000_000_000 + value for value in ids], pa.timestamp("ms")),
            "country": [("de", "fr", "us", "cn", "br")[value % 5] for value in ids],
            "page": [
                f"/shop/category-{value % 97}/item-{value % 5000}/details?ref={value * 31 % 65536:04x}" for value in ids
            ],
            "agent": [
                f"Mozilla/5.0 (X11; Linux x86_64) build {value % 313} session {value * 17 % 999983}" for value in ids
            ],
        },
        schema=SCHEMA,
    )


def cpu_seconds(pid: int) -> float:
    """User and system CPU time of a process and its threads so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """Resident memory of a process in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"no resident memory of process {pid}")


def percentile(values: Sequence[float], share: float) -> float:
    """Value below which ``share`` of ``values`` lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A Markdown table."""
    print(f"\n### {title}\n")
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(row) + " |")


median = statistics.median
