"""Every merge engine does what a few lines of plain Python do, through new columns, failures, crashes and power cuts.

The model is a list with one entry per offset of the changelog; every state follows from it. It shares no code with the
tablet. Rows are tuples; a row of an older schema counts as one with nulls at its end.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.arrow_batch import decode_batch
from fluss_server.formats.arrow_types import arrow_schema
from fluss_server.formats.arrow_values import from_arrow
from fluss_server.formats.kv_batch import build_kv_batch
from fluss_server.formats.row_codec import row_codec
from fluss_server.formats.value_batch import decode_value
from fluss_server.kv import committed_rows
from fluss_server.kv.checkpoint import boot_id
from fluss_server.kv.resources import KvResources
from fluss_server.model.schema import Column, Schema
from fluss_server.model.types import DataType, TypeRoot
from fluss_server.runtime import system_runtime
from kv_support import (
    INT,
    STRING,
    TYPE_NAMES,
    Bucket,
    Change,
    Values,
    copy_live,
    encode_key,
    make_schema,
    make_table,
    open_bucket,
    replay_changes,
)
from scratch_support import scratch_directory

BIGINT = DataType(TypeRoot.BIGINT)
MONEY = DataType(TypeRoot.DECIMAL, precision=6, scale=2)
WIDE = DataType(TypeRoot.DECIMAL, precision=22, scale=1)
BOOLEAN = DataType(TypeRoot.BOOLEAN)
FIRST = make_schema({"n": BIGINT, "id": INT, "text": STRING, "money": MONEY, "wide": WIDE, "flag": BOOLEAN}, ["id"])
KEY = 1
KEYS = (1, 200, -1)
MAX_SCHEMAS = 3
SAME = object()
"""What a model's merge returns when nothing changes."""

numbers = st.none() | st.integers(-3, 3) | st.sampled_from([2**63 - 1, -(2**63)])
added = st.none() | st.integers(-5, 5)
payloads = st.tuples(
    numbers,
    st.none() | st.text("ab,é", max_size=3),
    st.none() | st.integers(-999_999, 999_999) | st.integers(-300, 300),
    st.none() | st.integers(-(10**22) + 1, 10**22 - 1),
    st.none() | st.booleans(),
    added,
    added,
)
# An upsert is a key with values for all columns there may ever be, a delete a key alone.
records = st.lists(st.tuples(st.sampled_from(KEYS), payloads | st.none()), max_size=5)
targets = st.sets(st.integers(0, 7)).map(lambda found: sorted(found | {KEY}))

Record = tuple[int, tuple[Any, ...] | None]
Function = Callable[[Any, Any], Any]


class Model:
    """Offsets of the changelog: each is a change, or None for a batch without rows."""

    def __init__(self, full_image: bool) -> None:
        self.full_image = full_image
        self.offsets: list[Change | None] = []
        self.committed_offset = 0

    @property
    def end(self) -> int:
        return len(self.offsets)

    def state(self, offset: int | None = None) -> dict[int, Values]:
        """Rows by key below an offset."""
        rows: dict[int, Values] = {}
        for change in self.offsets[:offset]:
            if change is not None and change[0] in ("+I", "+U"):
                rows[change[1][KEY]] = change[1]
            elif change is not None and change[0] == "-D":
                del rows[change[1][KEY]]
        return rows

    def apply(self, steps: Sequence[tuple[int, Function | None]], blind: bool) -> None:
        """A batch: per record its key, and what makes of the old row the new one (None = no row is left)."""
        rows = self.state()
        changes: list[Change | None] = []
        for key, step in steps:
            old = rows.get(key)
            new = None if step is None else step(old, None)
            if new is SAME or (old is None and new is None):
                continue
            if new is None:
                changes.append(("-D", cast("Values", old)))
                del rows[key]
                continue
            if old is None and not blind:
                changes.append(("+I", new))
            else:
                if self.full_image:
                    changes.append(("-U", cast("Values", old)))
                changes.append(("+U", new))
            rows[key] = new
        self.offsets += changes or [None]


def padded(row: Sequence[Any], count: int) -> Values:
    return (*row, *[None] * (count - len(row)))


class EngineMachine(RuleBasedStateMachine):
    """Random histories of one tablet; subclasses are the engines."""

    properties: dict[str, str] = {}  # noqa: RUF012
    knows_partial_updates = False
    images: tuple[str, ...] = ("FULL", "WAL")
    replaces = False  # whether an upsert of all columns is its own result

    def __init__(self) -> None:
        super().__init__()
        self.directory = scratch_directory()
        self.lives = 0
        self.boots = 1

    @initialize(
        kv_format=st.sampled_from(["COMPACTED", "INDEXED"]),
        data=st.data(),
        deletes=st.sampled_from(["ALLOW", "IGNORE", "DISABLE"]),
        cache_bytes=st.sampled_from([0, 1 << 20]),
    )
    def create(self, kv_format: str, data: st.DataObject, deletes: str, cache_bytes: int) -> None:
        self.deletes = deletes if self.knows_partial_updates else deletes.replace("ALLOW", "IGNORE")
        image = data.draw(st.sampled_from(self.images))
        self.options: dict[str, Any] = {
            **self.properties,
            "kv_format": kv_format,
            "changelog_image": image,
            "delete_behavior": self.deletes,
            "compression": "NONE",
        }
        self.cache_bytes = cache_bytes
        self.schemas: dict[int, Schema] = {1: self.first_schema(data)}
        self.model = Model(image == "FULL")
        self.bucket = self.open()

    def first_schema(self, data: st.DataObject) -> Schema:
        return FIRST

    def merge(self, old: Values | None, new: Values, columns: Sequence[int]) -> Any:
        """The row after an upsert, or SAME.

        Args:
            old: row in the latest schema, or None.
            new: likewise.
            columns: positions that are written; empty = all.
        """
        raise NotImplementedError

    @property
    def latest(self) -> int:
        return max(self.schemas)

    @property
    def width(self) -> int:
        return len(self.schemas[self.latest].columns)

    def open(self) -> Bucket:
        # What the server takes for the identity of this run of the machine.
        vars(committed_rows)["boot_id"] = lambda disk: bytes([self.boots]) * 16
        table = make_table(self.schemas[self.latest], schema_id=self.latest, **self.options)
        resources = KvResources(system_runtime(), 8 << 20, row_cache_bytes=self.cache_bytes)
        return open_bucket(self.directory / str(self.lives), table, resources, self.schemas)

    # ------------------------------------------------------------------ writes

    @rule(
        batch=records,
        columns=st.just([]) | targets,
        overwrite=st.sampled_from([False, False, True]),
        age=st.integers(0, 2),
    )
    def put(self, batch: list[Record], columns: list[int], overwrite: bool, age: int) -> None:
        columns = [column for column in columns if column < self.width]
        schema_id = max(1, self.latest - age)
        data = self.encode(batch, schema_id)
        refused = self.refusal(batch, columns, overwrite)
        if refused is not None:
            with pytest.raises(FlussError) as caught:
                self.bucket.kv.put(data, columns, overwrite=overwrite)
            assert caught.value.code is refused
            assert self.bucket.log.end_offset == self.model.end
            return
        base = self.model.end
        result = self.bucket.kv.put(data, columns, overwrite=overwrite)
        replaces = (overwrite or self.replaces) and len(columns) in (0, self.width)
        steps = [
            (key, self.step(None if values is None else self.sent(key, values, schema_id), columns, overwrite))
            for key, values in batch
        ]
        self.model.apply(steps, blind=replaces and not self.model.full_image)
        assert (result.base_offset, result.last_offset) == (base, self.model.end - 1)

    def refusal(self, batch: Sequence[Record], columns: Sequence[int], overwrite: bool) -> ErrorCode | None:
        if columns and not (overwrite or self.knows_partial_updates):
            return ErrorCode.INVALID_TARGET_COLUMN
        if self.deletes == "DISABLE" and not overwrite and any(values is None for _, values in batch):
            return ErrorCode.DELETION_DISABLED_EXCEPTION
        return None

    def sent(self, key: int, values: Sequence[Any], schema_id: int) -> Values:
        """The row that a writer with that schema sends, in the latest schema."""
        row = (values[0], key, *values[1:])
        return padded(row[: len(self.schemas[schema_id].columns)], self.width)

    def step(self, new: Values | None, columns: Sequence[int], overwrite: bool) -> Function | None:
        """What one record makes of the row that is there."""
        if new is None and not overwrite and self.deletes == "IGNORE":
            return lambda old, _: SAME
        if new is None:
            return lambda old, _: self.without(old, columns)
        if overwrite:
            return lambda old, _: self.replaced(old, new, columns)
        return lambda old, _: self.merge(None if old is None else padded(old, self.width), new, columns)

    def without(self, old: Values | None, columns: Sequence[int]) -> Values | None:
        """A row after a delete: without target columns nothing, else the other columns if they have a value."""
        if old is None or not columns:
            return None
        row = padded(old, self.width)
        if all(value is None for index, value in enumerate(row) if index not in columns):
            return None
        return tuple(None if index in columns and index != KEY else value for index, value in enumerate(row))

    def replaced(self, old: Values | None, new: Values, columns: Sequence[int]) -> Any:
        """A row after an upsert that knows no engine."""
        if not columns or len(columns) == self.width:
            return new
        if old is not None and list(columns) == [KEY]:
            return SAME
        there = padded(old or (), self.width)
        return tuple(new[index] if index in columns else there[index] for index in range(self.width))

    def encode(self, batch: Sequence[Record], schema_id: int) -> bytes:
        types = self.schemas[schema_id].types
        codec = row_codec(types, self.bucket.table.kv_format)
        pairs = [
            (
                encode_key(self.bucket.table, (key,)),
                None if values is None else codec.encode((values[0], key, *values[1:])[: len(types)]),
            )
            for key, values in batch
        ]
        return build_kv_batch(schema_id, pairs)

    @precondition(lambda self: self.knows_partial_updates)
    @rule(keys=st.lists(st.sampled_from(KEYS), min_size=1, max_size=3))
    def find_or_insert(self, keys: list[int]) -> None:
        rows = self.model.state()
        missing = [key for key in dict.fromkeys(keys) if key not in rows]
        values, end = self.bucket.kv.find_or_insert([encode_key(self.bucket.table, (key,)) for key in keys])
        if missing:
            self.model.apply([(key, self.constant((None, key, *[None] * (self.width - 2)))) for key in missing], False)
        assert end == self.model.end
        found = self.model.state()
        assert [self.present(value) for value in values] == [padded(found[key], self.width) for key in keys]

    @staticmethod
    def constant(row: Values) -> Function:
        return lambda old, _: row

    @precondition(lambda self: len(self.schemas) < MAX_SCHEMAS)
    @rule(data=st.data())
    def add_column(self, data: st.DataObject) -> None:
        number = self.latest + 1
        schema = self.schemas[self.latest]
        column = Column(f"added{number}", INT, len(schema.columns), None, self.function_of_added(data))
        self.schemas[number] = replace(
            schema, columns=(*schema.columns, column), highest_field_id=schema.highest_field_id + 1
        )
        table = make_table(self.schemas[number], schema_id=number, **self.options)
        self.bucket.kv._schemas = self.schemas.__getitem__
        self.bucket.kv.update_table(table)
        self.bucket.table = table

    def function_of_added(self, data: st.DataObject) -> tuple[str, tuple[tuple[str, str], ...]] | None:
        return None

    # ------------------------------------------------------------------ progress

    @rule(share=st.floats(0, 1), durable=st.booleans())
    def commit(self, share: float, durable: bool) -> None:
        offset = self.model.committed_offset + round(share * (self.model.end - self.model.committed_offset))
        if durable:
            self.bucket.log.flush()
        self.bucket.kv.commit(offset)
        self.model.committed_offset = offset

    @rule()
    def persist(self) -> None:
        assert self.bucket.kv.persist() == self.model.committed_offset

    @rule()
    def crash(self) -> None:
        """The process is killed: what was written to files is there."""
        self.next_life()
        self.bucket = self.open()
        self.model.committed_offset = self.model.end

    @rule()
    def cut_power(self) -> None:
        """The machine stops: the log loses what was not synced."""
        kept = self.bucket.log.flushed_offset
        size = sum(header.size for header, _ in self.bucket.log.batches(0, kept)) if kept else 0
        self.next_life()
        (segment,) = (self.directory / str(self.lives) / "log").glob("*.log")
        with segment.open("r+b") as file:
            file.truncate(size)
        self.boots += 1
        self.bucket = self.open()
        del self.model.offsets[kept:]
        self.model.committed_offset = kept

    @rule()
    def restart(self) -> None:
        self.bucket.close()
        self.bucket = self.open()
        self.model.committed_offset = self.model.end

    def next_life(self) -> None:
        old, before = self.bucket, self.directory / str(self.lives)
        self.lives += 1
        copy_live(before, self.directory / str(self.lives))
        old.close()
        shutil.rmtree(before)

    # ------------------------------------------------------------------ what always holds

    def present(self, value: bytes | None) -> Values | None:
        """A stored value in the latest schema."""
        if value is None:
            return None
        schema_id, row = decode_value(value)
        return padded(row_codec(self.schemas[schema_id].types, self.bucket.table.kv_format).decode(row), self.width)

    @invariant()
    def lookups_show_what_is_committed(self) -> None:
        if not hasattr(self, "bucket"):
            return
        assert self.bucket.log.end_offset == self.model.end
        state = self.model.state(self.model.committed_offset)
        keys = [encode_key(self.bucket.table, (key,)) for key in KEYS]
        expected = [padded(state[key], self.width) if key in state else None for key in KEYS]
        assert [self.present(value) for value in self.bucket.kv.lookup(keys)] == expected
        if self.model.full_image:
            assert self.bucket.kv.row_count == len(state)

    def changelog(self) -> list[Change]:
        changes: list[Change] = []
        for header, data in self.bucket.log.batches(0, self.bucket.log.end_offset):
            if not header.record_count:
                continue
            schema = self.schemas[header.schema_id]
            types, rows = decode_batch(data, header, arrow_schema(schema))
            assert types is not None
            columns = [from_arrow(column, kind) for column, kind in zip(rows.columns, schema.types, strict=True)]
            changes += [
                (TYPE_NAMES[kind], padded(row, self.width))
                for kind, row in zip(types, zip(*columns, strict=True), strict=True)
            ]
        return changes

    def teardown(self) -> None:
        if hasattr(self, "bucket"):
            changes = self.changelog()
            assert changes == [
                (change[0], padded(change[1], self.width)) for change in self.model.offsets if change is not None
            ]
            self.bucket.kv.commit(self.model.end)
            state = {(key,): padded(row, self.width) for key, row in self.model.state().items()}
            if self.model.full_image:
                assert replay_changes(self.schemas[self.latest], changes) == state
            scan = self.bucket.kv.open_scan()
            assert sorted(map(repr, map(self.present, scan.next(1 << 20)))) == sorted(map(repr, state.values()))
            scan.close()
            self.bucket.close()
        vars(committed_rows)["boot_id"] = boot_id
        shutil.rmtree(self.directory, ignore_errors=True)


class DefaultMachine(EngineMachine):
    """The last row wins, or the last value of each column."""

    replaces = True
    knows_partial_updates = True

    def merge(self, old: Values | None, new: Values, columns: Sequence[int]) -> Any:
        return self.replaced(old, new, columns)


class FirstRowMachine(EngineMachine):
    """The first row wins."""

    properties = {"merge_engine": "first_row"}  # noqa: RUF012

    def merge(self, old: Values | None, new: Values, columns: Sequence[int]) -> Any:
        return new if old is None else SAME


class VersionedMachine(EngineMachine):
    """The greatest version wins."""

    properties = {"merge_engine": "versioned", "version_column": "n"}  # noqa: RUF012

    def merge(self, old: Values | None, new: Values, columns: Sequence[int]) -> Any:
        smallest = -(2**63)
        if old is None or (smallest if new[0] is None else new[0]) >= (smallest if old[0] is None else old[0]):
            return new
        return SAME


def ignoring_nulls(function: Function) -> Function:
    return lambda a, b: b if a is None else a if b is None else function(a, b)


def wrapped(value: int, bits: int) -> int:
    return int.from_bytes((value % 2**bits).to_bytes(bits // 8, "big"), "big", signed=True)


def decimal_product(scale: int, precision: int) -> Function:
    def product(a: int, b: int) -> int | None:
        with localcontext() as context:
            context.prec = 100
            exact = Decimal(a).scaleb(-scale) * Decimal(b).scaleb(-scale)
            result = int(exact.quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP).scaleb(scale))
        return result if len(str(abs(result))) <= precision else None

    return ignoring_nulls(product)


def limited(precision: int) -> Function:
    return ignoring_nulls(lambda a, b: a + b if len(str(abs(a + b))) <= precision else None)


ANY: dict[str, Function] = {
    "last_value": lambda a, b: b,
    "last_value_ignore_nulls": lambda a, b: a if b is None else b,
    "first_value": lambda a, b: b if a is None else a,
    "first-value-ignore-nulls": lambda a, b: b if a is None else a,
}
ORDERED: dict[str, Function] = {"max": ignoring_nulls(max), "MIN": ignoring_nulls(min)}
FUNCTIONS: dict[str, dict[str, Function]] = {
    "n": {
        **ANY,
        **ORDERED,
        "sum": ignoring_nulls(lambda a, b: wrapped(a + b, 64)),
        "product": ignoring_nulls(lambda a, b: wrapped(a * b, 64)),
    },
    "text": {
        **ANY,
        "max": ignoring_nulls(lambda a, b: max(a, b, key=str.encode)),
        "listagg": ignoring_nulls(lambda a, b: f"{a},{b}"),
        "string_agg": ignoring_nulls(lambda a, b: f"{a},{b}"),
    },
    "money": {**ANY, **ORDERED, "sum": limited(6), "product": decimal_product(2, 6)},
    "wide": {**ANY, **ORDERED, "Sum": limited(22), "product": decimal_product(1, 22)},
    "flag": {**ANY, "bool_and": ignoring_nulls(lambda a, b: a and b), "bool_or": ignoring_nulls(lambda a, b: a or b)},
}
ADDED: dict[str, Function] = {
    **ANY,
    "sum": ignoring_nulls(lambda a, b: wrapped(a + b, 32)),
    "product": ignoring_nulls(lambda a, b: wrapped(a * b, 32)),
}


class AggregationMachine(EngineMachine):
    """Every column has its function."""

    properties = {"merge_engine": "aggregation"}  # noqa: RUF012
    knows_partial_updates = True
    images = ("FULL",)

    def first_schema(self, data: st.DataObject) -> Schema:
        self.functions: dict[int, Function] = {}
        columns = []
        for index, column in enumerate(FIRST.columns):
            name = data.draw(st.none() | st.sampled_from(sorted(FUNCTIONS[column.name]))) if index != KEY else None
            self.functions[index] = FUNCTIONS[column.name][name] if name else ANY["last_value_ignore_nulls"]
            columns.append(replace(column, agg_function=(name, ()) if name else None))
        return replace(FIRST, columns=tuple(columns))

    def function_of_added(self, data: st.DataObject) -> tuple[str, tuple[tuple[str, str], ...]] | None:
        name = data.draw(st.sampled_from(sorted(ADDED)))
        self.functions[self.width] = ADDED[name]
        return name, ()

    def merge(self, old: Values | None, new: Values, columns: Sequence[int]) -> Any:
        if old is None:
            return new  # as it was sent, whatever the target columns are
        return tuple(
            self.functions[index](old[index], new[index]) if index in (columns or range(self.width)) else old[index]
            for index in range(self.width)
        )


ENGINES = {
    "Default": DefaultMachine,
    "FirstRow": FirstRowMachine,
    "Versioned": VersionedMachine,
    "Aggregation": AggregationMachine,
}


def _settings(examples: int, steps: int) -> settings:
    return settings(max_examples=examples, stateful_step_count=steps, suppress_health_check=list(HealthCheck))


for _name, _machine in ENGINES.items():
    _machine.TestCase.settings = _settings(3, 15)
    globals()[f"Test{_name}"] = _machine.TestCase
    _deep: Any = type(f"Deep{_machine.__name__}", (_machine,), {})
    _deep.TestCase.settings = _settings(150, 40)
    globals()[f"TestDeep{_name}"] = pytest.mark.slow(_deep.TestCase)


def test_the_models_functions_are_those_of_the_server() -> None:
    from fluss_server.model.aggregation import AggFunction

    tested = {AggFunction.named(name) for functions in FUNCTIONS.values() for name in functions}
    assert set(AggFunction) - tested == {AggFunction.RBM32, AggFunction.RBM64}  # see test_roaring.py
