"""``CREATE TABLE`` in the manner of Flink SQL, read into a table descriptor. No I/O.

    CREATE TABLE [IF NOT EXISTS] [database.]name (
      column TYPE [NOT NULL] [COMMENT 'text'], ...,
      PRIMARY KEY (column, ...) [NOT ENFORCED]
    ) [COMMENT 'text'] [PARTITIONED BY (column, ...)] [DISTRIBUTED BY (column, ...) INTO n BUCKETS]
      [WITH ('key' = 'value', ...)]

Options mean what they mean to the Flink connector: ``bucket.num``, ``bucket.key``, ``auto-increment.fields``,
``fields.{column}.agg`` with ``fields.{column}.{function}.{parameter}``; keys with ``table.`` are table options, all
others custom properties.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn, TypeVar

from fluss_server.errors import ErrorCode, FlussError

_TOKEN = re.compile(
    r"\s+|--[^\n]*|/\*.*?\*/"
    r"|(?P<string>'(?:[^']|'')*')|(?P<quoted>`(?:[^`]|``)+`)|(?P<number>\d+)|(?P<word>[A-Za-z_][A-Za-z0-9_$-]*)"
    r"|(?P<symbol>[(),.<>=;])",
    re.DOTALL,
)
_SIMPLE_TYPES = {
    "BOOLEAN": "BOOLEAN",
    "TINYINT": "TINYINT",
    "SMALLINT": "SMALLINT",
    "INT": "INTEGER",
    "INTEGER": "INTEGER",
    "BIGINT": "BIGINT",
    "FLOAT": "FLOAT",
    "STRING": "STRING",
    "BYTES": "BYTES",
    "DATE": "DATE",
}
_MAX_TYPE_DEPTH = 30
_MAX_LENGTH = 2**31 - 1
"""VARCHAR of this length is STRING."""
BUCKET_NUM, _BUCKET_KEY, _AUTO_INCREMENT = "bucket.num", "bucket.key", "auto-increment.fields"
_AGGREGATION = re.compile(r"fields\.(?P<column>.+)\.agg\Z")
_T = TypeVar("_T")


@dataclass(frozen=True)
class CreateTable:
    """What a statement says.

    Attributes:
        database: as written, None = the default.
        table: name of the table.
        if_not_exists: whether an existing table is fine.
        descriptor: document of a table descriptor, to be checked by whoever reads it.
        remarks: what the table will not keep of the statement.
    """

    database: str | None
    table: str
    if_not_exists: bool
    descriptor: dict[str, Any]
    remarks: tuple[str, ...] = ()


def parse_create_table(text: str) -> CreateTable:
    """Read one statement.

    Raises:
        FlussError: ``INVALID_TABLE_EXCEPTION`` with the line and column of what is not understood.
    """
    return _Parser(text).statement()


def parse_column(text: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Read ``name TYPE [COMMENT 'text']``: document of the column, and remarks as in :class:`CreateTable`.

    Raises:
        FlussError: ``INVALID_TABLE_EXCEPTION``.
    """
    parser = _Parser(text)
    return parser.column(), tuple(parser.remarks)


class _Token(NamedTuple):
    kind: str
    text: str
    position: int


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[_Token] = list(self._scan())
        self._next = 0
        self.remarks: list[str] = []

    def _scan(self) -> Iterator[_Token]:
        position = 0
        while position < len(self._text):
            match = _TOKEN.match(self._text, position)
            if match is None:
                self._fail_at(position, f"unexpected {self._text[position]!r}")
            if match.lastgroup is not None:
                yield _Token(match.lastgroup, match.group(), position)
            position = match.end()
        yield _Token("end", "", len(self._text))

    # ---- the statement

    def statement(self) -> CreateTable:
        self._expect("CREATE")
        self._expect("TABLE")
        if_not_exists = self._accept("IF", "NOT", "EXISTS")
        first = self._name("a table name")
        database, table = (first, self._name("a table name")) if self._accept(".") else (None, first)
        columns, primary_key = self._columns()
        descriptor: dict[str, Any] = {"version": 1}
        if self._accept("COMMENT"):
            descriptor["comment"] = self._string()
        partition_key: list[str] = []
        bucket_key: list[str] = []
        bucket_count: int | None = None
        if self._accept("PARTITIONED"):
            self._expect("BY")
            partition_key = self._names()
        if self._accept("DISTRIBUTED"):
            if self._accept("BY"):
                self._accept("HASH")
                bucket_key = self._names()
            if self._accept("INTO"):
                bucket_count = self._number()
                self._expect("BUCKETS")
        options = self._options() if self._accept("WITH") else {}
        self._accept(";")
        if self._peek().kind != "end":
            self._fail("the statement should end here")
        bucket_key = _listed(options.pop(_BUCKET_KEY, None)) or bucket_key
        bucket_count = self._bucket_count(options.pop(BUCKET_NUM, None), bucket_count)
        schema: dict[str, Any] = {"version": 1, "columns": columns}
        if primary_key:
            schema["primary_key"] = primary_key
        if increment := _listed(options.pop(_AUTO_INCREMENT, None)):
            schema["auto_increment_column"] = increment
        self._move_aggregations(options, columns)
        descriptor |= {
            "schema": schema,
            "partition_key": partition_key,
            "bucket_key": bucket_key,
            "properties": {key: value for key, value in options.items() if key.startswith("table.")},
            "custom_properties": {key: value for key, value in options.items() if not key.startswith("table.")},
        }
        if bucket_count is not None:
            descriptor["bucket_count"] = bucket_count
        return CreateTable(database, table, if_not_exists, descriptor, tuple(self.remarks))

    def column(self) -> dict[str, Any]:
        column: dict[str, Any] = {"name": self._name("a column name"), "data_type": self._type(0)}
        if self._accept("COMMENT"):
            column["comment"] = self._string()
        if self._peek().kind != "end":
            self._fail("the column should end here")
        return column

    def _columns(self) -> tuple[list[dict[str, Any]], list[str]]:
        columns: list[dict[str, Any]] = []
        primary_key: list[str] = []
        self._expect("(")
        while True:
            if self._accept("PRIMARY", "KEY"):
                if primary_key:
                    self._fail("a second primary key")
                primary_key = self._names()
                self._accept("NOT", "ENFORCED")
            else:
                column: dict[str, Any] = {"name": self._name("a column name"), "data_type": self._type(0)}
                if self._accept("PRIMARY", "KEY"):
                    primary_key.append(column["name"])
                    self._accept("NOT", "ENFORCED")
                if self._accept("COMMENT"):
                    column["comment"] = self._string()
                columns.append(column)
            if not self._accept(","):
                self._expect(")")
                return columns, primary_key

    def _options(self) -> dict[str, str]:
        options: dict[str, str] = {}
        self._expect("(")
        while not self._accept(")"):
            key = self._string()
            if key in options:
                self._fail(f"option {key!r} is given twice")
            self._expect("=")
            options[key] = self._string()
            if not self._accept(","):
                self._expect(")")
                break
        return options

    def _bucket_count(self, option: str | None, declared: int | None) -> int | None:
        if option is None:
            return declared
        if not option.isdecimal():
            raise _invalid(f"{BUCKET_NUM} must be a number, not {option!r}")
        return int(option)

    def _move_aggregations(self, options: dict[str, str], columns: list[dict[str, Any]]) -> None:
        by_name = {column["name"]: column for column in columns}
        for key in list(options):
            match = _AGGREGATION.match(key)
            if match is None:
                continue
            column, function = match["column"], options.pop(key)
            if column not in by_name:
                raise _invalid(f"option {key!r} names column {column!r}, which there is not")
            prefix = f"fields.{column}.{function}."
            parameters = {
                other[len(prefix) :]: options.pop(other) for other in list(options) if other.startswith(prefix)
            }
            by_name[column]["agg_function"] = {"type": function} | ({"parameters": parameters} if parameters else {})

    # ---- types

    def _type(self, depth: int) -> dict[str, Any]:
        if depth > _MAX_TYPE_DEPTH:
            self._fail(f"types may be nested {_MAX_TYPE_DEPTH} levels deep at most")
        document = self._bare_type(depth)
        if self._accept("NOT", "NULL"):
            document["nullable"] = False
        else:
            self._accept("NULL")
        return document

    def _bare_type(self, depth: int) -> dict[str, Any]:
        token = self._peek()
        word = token.text.upper()
        if token.kind != "word":
            self._fail("expected a type")
        self._next += 1
        if word in _SIMPLE_TYPES:
            return {"type": _SIMPLE_TYPES[word]}
        if word == "DOUBLE":
            self._accept("PRECISION")
            return {"type": "DOUBLE"}
        if word in ("VARCHAR", "VARBINARY"):
            kept = "STRING" if word == "VARCHAR" else "BYTES"
            for length in self._parameters(1):
                if length < _MAX_LENGTH:
                    self.remarks.append(f"{word}({length}) becomes {kept}: Fluss keeps and checks no greatest length")
            return {"type": kept}
        if word in ("CHAR", "BINARY"):
            return {"type": word, "length": (*self._parameters(1), 1)[0]}
        if word in ("DECIMAL", "NUMERIC", "DEC"):
            parameters = self._parameters(2)
            return {"type": "DECIMAL", "precision": (*parameters, 10)[0], "scale": (*parameters, 0, 0)[1]}
        if word == "TIME":
            return {"type": "TIME_WITHOUT_TIME_ZONE", "precision": (*self._parameters(1), 0)[0]}
        if word in ("TIMESTAMP", "TIMESTAMP_LTZ"):
            precision = (*self._parameters(1), 6)[0]
            local = self._accept("WITH", "LOCAL", "TIME", "ZONE") or word == "TIMESTAMP_LTZ"
            if not local:
                self._accept("WITHOUT", "TIME", "ZONE")
            zone = "WITH_LOCAL_TIME_ZONE" if local else "WITHOUT_TIME_ZONE"
            return {"type": f"TIMESTAMP_{zone}", "precision": precision}
        if word == "ARRAY":
            return {"type": "ARRAY", "element_type": self._enclosed(lambda: self._type(depth + 1))}
        if word == "MAP":
            return {"type": "MAP"} | self._enclosed(lambda: self._entry_types(depth + 1))
        if word == "ROW":
            return {"type": "ROW", "fields": self._enclosed(lambda: self._fields(depth + 1))}
        self._next -= 1
        self._fail(f"unknown type {token.text!r}")

    def _entry_types(self, depth: int) -> dict[str, Any]:
        key = self._type(depth)
        self._expect(",")
        return {"key_type": key, "value_type": self._type(depth)}

    def _fields(self, depth: int) -> list[dict[str, Any]]:
        fields = []
        while True:
            field: dict[str, Any] = {"name": self._name("a field name"), "field_type": self._type(depth)}
            if self._peek().kind == "string":
                field["description"] = self._string()
            fields.append(field)
            if not self._accept(","):
                return fields

    def _enclosed(self, inner: Callable[[], _T]) -> _T:
        self._expect("<")
        value = inner()
        self._expect(">")
        return value

    def _parameters(self, most: int) -> list[int]:
        if not self._accept("("):
            return []
        numbers = [self._number()]
        while len(numbers) < most and self._accept(","):
            numbers.append(self._number())
        self._expect(")")
        return numbers

    # ---- tokens

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _accept(self, *words: str) -> bool:
        """Skip these words or symbols if all of them come next."""
        ahead = self._tokens[self._next : self._next + len(words)]
        if len(ahead) < len(words):
            return False
        for token, word in zip(ahead, words, strict=True):
            if token.kind not in ("word", "symbol") or token.text.upper() != word:
                return False
        self._next += len(words)
        return True

    def _expect(self, word: str) -> None:
        if not self._accept(word):
            self._fail(f"expected {word}")

    def _name(self, what: str) -> str:
        token = self._peek()
        if token.kind not in ("word", "quoted"):
            self._fail(f"expected {what}")
        self._next += 1
        return token.text if token.kind == "word" else token.text[1:-1].replace("``", "`")

    def _names(self) -> list[str]:
        self._expect("(")
        names = [self._name("a column name")]
        while self._accept(","):
            names.append(self._name("a column name"))
        self._expect(")")
        return names

    def _string(self) -> str:
        token = self._peek()
        if token.kind != "string":
            self._fail("expected text in single quotes")
        self._next += 1
        return token.text[1:-1].replace("''", "'")

    def _number(self) -> int:
        token = self._peek()
        if token.kind != "number":
            self._fail("expected a number")
        self._next += 1
        return int(token.text)

    def _fail(self, reason: str) -> NoReturn:
        token = self._peek()
        found = "the end of the text" if token.kind == "end" else repr(token.text)
        self._fail_at(token.position, reason if token.text and token.text in reason else f"{reason}, not {found}")

    def _fail_at(self, position: int, reason: str) -> NoReturn:
        before = self._text[:position]
        line = before.count("\n") + 1
        raise _invalid(f"line {line}, column {position - (before.rfind(chr(10)) + 1) + 1}: {reason}")


def _listed(names: str | None) -> list[str]:
    return [] if names is None else [name.strip() for name in names.split(",") if name.strip()]


def _invalid(message: str) -> FlussError:
    return FlussError(
        ErrorCode.INVALID_TABLE_EXCEPTION,
        message,
        hint="CREATE TABLE db.name (id BIGINT NOT NULL, name STRING, PRIMARY KEY (id)) WITH ('bucket.num' = '4')",
    )


def create_table_sql(path: str, descriptor: Mapping[str, Any]) -> str:
    """The statement that :func:`parse_create_table` reads into such a descriptor; ids and versions are left out."""
    from fluss_server.model.table import TableDescriptor

    table = TableDescriptor.from_json(descriptor)
    schema = table.schema
    lines = []
    options = {**table.properties, **table.custom_properties}
    for column in schema.columns:
        comment = "" if column.comment is None else f" COMMENT {_quoted(column.comment)}"
        lines.append(f"  {_identifier(column.name)} {column.type}{comment}")
        if column.agg_function is not None:
            function, parameters = column.agg_function
            options[f"fields.{column.name}.agg"] = function
            options |= {f"fields.{column.name}.{function}.{key}": value for key, value in parameters}
    if schema.primary_key:
        lines.append(f"  PRIMARY KEY ({_identifiers(schema.primary_key)}) NOT ENFORCED")
    if schema.auto_increment_column is not None:
        options[_AUTO_INCREMENT] = schema.auto_increment_column
    text = f"CREATE TABLE {'.'.join(map(_identifier, path.split('.', 1)))} (\n" + ",\n".join(lines) + "\n)"
    if table.comment is not None:
        text += f" COMMENT {_quoted(table.comment)}"
    if table.partition_key:
        text += f" PARTITIONED BY ({_identifiers(table.partition_key)})"
    if table.bucket_count is not None:
        by = f" BY ({_identifiers(table.bucket_key)})" if table.bucket_key else ""
        text += f" DISTRIBUTED{by} INTO {table.bucket_count} BUCKETS"
    if options:
        text += " WITH (\n"
        text += ",\n".join(f"  {_quoted(key)} = {_quoted(value)}" for key, value in sorted(options.items()))
        text += "\n)"
    return text + ";"


def _identifiers(names: tuple[str, ...]) -> str:
    return ", ".join(map(_identifier, names))


def _identifier(name: str) -> str:
    return name if re.fullmatch(r"[a-z_][a-z0-9_]*", name) else f"`{name.replace('`', '``')}`"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
