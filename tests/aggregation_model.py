"""An aggregation table with every function: SQL that creates and fills it, and what it must hold then.

The model knows Python values only, no formats and nothing of the server's code.
"""

from __future__ import annotations

import datetime as dt
import random
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from typing import Any

from pyroaring import BitMap

from fluss_server.kv.merge_engines.roaring import _read64
from vectors_loader import load

Fold = Callable[[Any, Any], Any]

KEYS = (1, 2, 3, 4)
ORDERED_SESSION = {"parallelism.default": "1"}
"""Options of a session in which an INSERT writes its rows one after the other."""

_NULL_SHARE = 0.2
_WORDS = ("", "a", "Zürich", "世界", "x y", "it's", "long enough to be stored out of line")
_SINCE = dt.datetime(1969, 12, 1)
_MAX_BITMAP_BYTES = 100
_ARRAY_LENGTH = 2
_NULL_TEXT = "~"
_EXACT = Context(prec=100)


@dataclass(frozen=True)
class Column:
    """A column and the model of its function.

    Attributes:
        name: of the column.
        sql_type: its type.
        function: as an option of the table; empty for the default function.
        draw: draws a value.
        text: a value as text, which ``expression`` converts to the value again.
        fold: from the stored and the written value, both not null, to the result.
        delimiter: parameter of the function.
        nulls_win: whether a written null replaces the stored value.
    """

    name: str
    sql_type: str
    function: str
    draw: Callable[[random.Random], Any]
    fold: Fold
    text: Callable[[Any], str] = str
    delimiter: str | None = None
    nulls_win: bool = False

    def options(self) -> Iterator[str]:
        """Options of the table, as SQL."""
        if self.function:
            yield f"'fields.{self.name}.agg' = '{self.function}'"
        if self.delimiter is not None:
            yield f"'fields.{self.name}.{self.function}.delimiter' = '{self.delimiter}'"

    def merge(self, stored: Any, written: Any) -> Any:
        """The value after a write; None is null."""
        if written is None:
            return None if self.nulls_win else stored
        return written if stored is None else self.fold(stored, written)

    def expression(self) -> str:
        """SQL that makes the value of its text."""
        text = f"NULLIF({self.name}, '{_NULL_TEXT}')"
        if self.sql_type == "BYTES":
            return f"CAST(UNHEX({text}) AS BYTES)"
        if self.sql_type == "ARRAY<INT>":
            parts = ", ".join(f"CAST(SPLIT_INDEX({self.name}, ' ', {index}) AS INT)" for index in range(_ARRAY_LENGTH))
            return f"CASE WHEN {text} IS NULL THEN CAST(NULL AS ARRAY<INT>) ELSE ARRAY[{parts}] END"
        return f"CAST({text} AS {self.sql_type})"

    def selected(self) -> str:
        """SQL that gives a value that PyFlink's collect() keeps whole."""
        temporal = self.sql_type.startswith(("DATE", "TIME"))
        return f"CAST({self.name} AS STRING)" if temporal else self.name

    def comparable(self, found: Any) -> Any:
        """A value as SQL returned it, as the model has it."""
        if found is None:
            return None
        if self.function == "rbm32":
            return frozenset(BitMap.deserialize(bytes(found)))
        if self.function == "rbm64":
            return frozenset(
                int.from_bytes(high, "big") << 32 | low
                for high, bitmap in _read64(bytes(found)).items()
                for low in bitmap
            )
        if self.sql_type == "BYTES":
            return bytes(found)
        if self.sql_type == "FLOAT":  # PyFlink gives the shortest text of the number, as a double
            return _to_float32(found)
        return found


def _wrapping(bits: int, operation: Fold) -> Fold:
    half = 1 << bits - 1
    return lambda stored, written: (operation(stored, written) + half) % (1 << bits) - half


def _to_float32(value: float) -> float:
    rounded: float = struct.unpack("f", struct.pack("f", value))[0]
    return rounded


def _float32(operation: Fold) -> Fold:
    return lambda stored, written: _to_float32(operation(stored, written))


def _decimal(precision: int, scale: int, operation: Fold) -> Fold:
    def fold(stored: Decimal, written: Decimal) -> Decimal | None:
        with localcontext(_EXACT):
            rounded: Decimal = operation(stored, written).quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP)
        return rounded if abs(rounded) < Decimal(10) ** (precision - scale) else None

    return fold


def _add(stored: Any, written: Any) -> Any:
    return stored + written


def _multiply(stored: Any, written: Any) -> Any:
    return stored * written


def _last(stored: Any, written: Any) -> Any:
    return written


def _first(stored: Any, written: Any) -> Any:
    return stored


def _joined(delimiter: str) -> Fold:
    return lambda stored, written: f"{stored}{delimiter}{written}"


def _integers(bits: int) -> Callable[[random.Random], int]:
    return lambda draws: draws.randint(-(2 ** (bits - 1)) + 1, 2 ** (bits - 1) - 1)


def _small(draws: random.Random) -> int:
    return draws.randint(-9, 9)


def _halves(draws: random.Random) -> float:
    return draws.randint(-64, 64) / 8


def _doubles(draws: random.Random) -> float:
    return draws.uniform(-1000, 1000)


def _flags(draws: random.Random) -> bool:
    return draws.random() < 0.5


def _bytes(draws: random.Random) -> bytes:
    return draws.randbytes(draws.randint(1, 9))


def _words(draws: random.Random) -> str:
    return draws.choice(_WORDS)


def _decimals(scale: int, limit: int) -> Callable[[random.Random], Decimal]:
    return lambda draws: Decimal(draws.randint(-limit, limit)).scaleb(-scale)


def _instants(draws: random.Random) -> dt.datetime:
    return _SINCE + dt.timedelta(microseconds=draws.randint(0, 10**14))


def _dates(draws: random.Random) -> str:
    return _instants(draws).date().isoformat()


def _times(draws: random.Random) -> str:
    return _instants(draws).time().replace(microsecond=0).isoformat()


def _timestamps(draws: random.Random) -> str:
    return _instants(draws).isoformat(" ", "microseconds")


def _bitmaps(kind: str) -> list[tuple[frozenset[int], str]]:
    """Values and bytes in hex of bitmaps that the Java library wrote."""
    return [
        (
            frozenset((start + n * step) % (1 << 64) for start, count, step in case["ranges"] for n in range(count)),
            case[kind],
        )
        for case in load("roaring")["bitmaps"]
        if kind in case and len(case[kind]) <= 2 * _MAX_BITMAP_BYTES
    ]


def _bitmap_column(kind: str) -> Column:
    images = _bitmaps(kind)
    by_values = dict(images)
    return Column(
        f"b_{kind}",
        "BYTES",
        kind,
        lambda draws: draws.choice(images)[0],
        frozenset.union,
        by_values.__getitem__,
    )


def _columns() -> Iterator[Column]:
    for bits, sql_type in ((8, "TINYINT"), (16, "SMALLINT"), (32, "INT"), (64, "BIGINT")):
        yield Column(f"sum_{sql_type}", sql_type, "sum", _integers(bits), _wrapping(bits, _add))
        yield Column(f"product_{sql_type}", sql_type, "product", _integers(bits), _wrapping(bits, _multiply))
        yield Column(f"max_{sql_type}", sql_type, "max", _integers(bits), max)
        yield Column(f"min_{sql_type}", sql_type, "MIN", _integers(bits), min)
    yield Column("sum_float", "FLOAT", "sum", _halves, _float32(_add))
    yield Column("sum_double", "DOUBLE", "sum", _doubles, _add)
    yield Column("product_float", "FLOAT", "product", _halves, _float32(_multiply))
    yield Column("product_double", "DOUBLE", "product", _halves, _multiply)
    for sql_type, draw_number in (("FLOAT", _halves), ("DOUBLE", _doubles)):
        yield Column(f"max_{sql_type}", sql_type, "max", draw_number, max)
        yield Column(f"min_{sql_type}", sql_type, "min", draw_number, min)
    for precision, scale, limit in ((10, 2, 10**7), (3, 1, 90), (38, 10, 10**30)):
        sql_type, decimals = f"DECIMAL({precision}, {scale})", _decimals(scale, limit)
        suffix = f"decimal_{precision}"
        yield Column(f"sum_{suffix}", sql_type, "sum", decimals, _decimal(precision, scale, _add))
        yield Column(f"max_{suffix}", sql_type, "max", decimals, max)
        yield Column(f"min_{suffix}", sql_type, "min", decimals, min)
    yield Column(
        "product_decimal_10",
        "DECIMAL(10, 2)",
        "product",
        _decimals(2, 300),
        _decimal(10, 2, _multiply),
    )
    for sql_type, draw in (
        ("STRING", _words),
        ("CHAR(3)", lambda draws: draws.choice(("abc", "abd", "xyz"))),
        ("DATE", _dates),
        ("TIME", _times),
        ("TIMESTAMP(6)", _timestamps),
        ("TIMESTAMP_LTZ(6)", _timestamps),
    ):
        suffix = sql_type.split("(")[0].lower()
        yield Column(f"max_{suffix}", sql_type, "max", draw, max)
        yield Column(f"min_{suffix}", sql_type, "min", draw, min)
    for sql_type, draw_any in (
        ("INT", _small),
        ("BOOLEAN", _flags),
        ("DECIMAL(38, 10)", _decimals(10, 10**30)),
        ("STRING", _words),
        ("TIMESTAMP(6)", _timestamps),
    ):
        suffix = sql_type.split("(")[0].lower()
        yield Column(f"last_{suffix}", sql_type, "last_value", draw_any, _last, nulls_win=True)
        yield Column(f"first_{suffix}", sql_type, "first_value", draw_any, _first)
        yield Column(f"last_known_{suffix}", sql_type, "last_value_ignore_nulls", draw_any, _last)
        yield Column(f"first_known_{suffix}", sql_type, "first_value_ignore_nulls", draw_any, _first)
    yield Column("last_bytes", "BYTES", "last_value", _bytes, _last, bytes.hex, nulls_win=True)
    yield Column("first_bytes", "BYTES", "first_value", _bytes, _first, bytes.hex)
    yield Column("last_array", "ARRAY<INT>", "last-value", _lists, _last, _array_text, nulls_win=True)
    yield Column("by_default", "DOUBLE", "", _doubles, _last)
    yield Column("first_array", "ARRAY<INT>", "First_Value_Ignore_Nulls", _lists, _first, _array_text)
    yield Column("list", "STRING", "listagg", _words, _joined(","))
    for function, delimiter in (("listagg", " | "), ("string_agg", ";")):
        yield Column(
            f"delimited_{function}",
            "STRING",
            function,
            _words,
            _joined(delimiter),
            delimiter=delimiter,
        )
    yield Column("all_true", "BOOLEAN", "bool_and", _flags, lambda stored, written: stored and written)
    yield Column("any_true", "BOOLEAN", "bool_or", _flags, lambda stored, written: stored or written)
    yield _bitmap_column("rbm32")
    yield _bitmap_column("rbm64")


def _lists(draws: random.Random) -> list[int]:
    return [_small(draws) for _ in range(_ARRAY_LENGTH)]


def _array_text(value: Sequence[int]) -> str:
    return " ".join(map(str, value))


COLUMNS = tuple(_columns())


@dataclass
class AggregationModel:
    """Rows of the table, as the statements run so far leave them."""

    table: str
    seed: int = 2
    rows: dict[int, list[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._draws = random.Random(self.seed)

    def create(self) -> str:
        """CREATE TABLE."""
        columns = ", ".join(f"{column.name} {column.sql_type}" for column in COLUMNS)
        options = ["'table.merge-engine' = 'aggregation'", "'bucket.num' = '2'"]
        options += [option for column in COLUMNS for option in column.options()]
        return (
            f"CREATE TABLE {self.table} (id INT, {columns}, PRIMARY KEY (id) NOT ENFORCED) WITH ({', '.join(options)})"
        )

    def insert(self, count: int, share: float = 1.0) -> str:
        """An INSERT of ``count`` rows into ``share`` of the columns; the model applies it in order."""
        columns = [column for column in COLUMNS if self._draws.random() < share]
        values = []
        for _ in range(count):
            key = self._draws.choice(KEYS)
            written = {
                column.name: None if self._draws.random() < _NULL_SHARE else column.draw(self._draws)
                for column in columns
            }
            values.append(self._literals(key, columns, written))
            self._apply(key, written)
        names = ", ".join(["id", *(column.name for column in columns)])
        made = ", ".join(["id", *(column.expression() for column in columns)])
        # Flink makes one source of rows of literals, which keeps their order.
        return (
            f"INSERT INTO {self.table} ({names}) SELECT {made} FROM (VALUES {', '.join(values)}) AS written ({names})"
        )

    def _literals(self, key: int, columns: list[Column], written: dict[str, Any]) -> str:
        texts = [str(key)]
        for column in columns:
            value = written[column.name]
            text = _NULL_TEXT if value is None else column.text(value)
            texts.append("'{}'".format(text.replace("'", "''")))
        return f"({', '.join(texts)})"

    def _apply(self, key: int, written: dict[str, Any]) -> None:
        stored = self.rows.get(key)
        if stored is None:
            self.rows[key] = [written.get(column.name) for column in COLUMNS]
            return
        for index, column in enumerate(COLUMNS):
            if column.name in written:
                stored[index] = column.merge(stored[index], written[column.name])

    def select(self) -> str:
        """A query of all rows that needs no scan of the table."""
        columns = ", ".join(column.selected() for column in COLUMNS)
        return f"SELECT id, {columns} FROM (SELECT * FROM {self.table} LIMIT 100)"

    def compare(self, found: Sequence[Sequence[Any]]) -> None:
        """Check the rows that :meth:`select` returned.

        Raises:
            AssertionError: with the columns that differ.
        """
        rows = {row[0]: row[1:] for row in found}
        assert sorted(rows) == sorted(self.rows)
        wrong = {
            (key, column.name): (column.comparable(value), expected)
            for key, values in self.rows.items()
            for column, value, expected in zip(COLUMNS, rows[key], values, strict=True)
            if column.comparable(value) != expected
        }
        assert not wrong, f"(found, expected) by key and column: {wrong}"
