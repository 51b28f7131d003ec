"""Data types of columns and their JSON form.

Values of each type inside the server (all may be ``None``):

=====================================  ==============================================================
type root                              Python value
=====================================  ==============================================================
BOOLEAN                                ``bool``
TINYINT, SMALLINT, INTEGER, BIGINT     ``int``
FLOAT, DOUBLE                          ``float``
CHAR, STRING                           ``str``
BINARY, BYTES                          ``bytes``
DECIMAL                                ``int``, the unscaled value
DATE                                   ``int``, days since 1970-01-01
TIME_WITHOUT_TIME_ZONE                 ``int``, milliseconds of the day, whatever the precision
TIMESTAMP_*                            ``(int milliseconds, int nanoseconds of the millisecond)``
ARRAY                                  ``list``
MAP                                    ``list`` of ``(key, value)``, in order
ROW                                    ``tuple``, one value per field
=====================================  ==============================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from fluss_server.errors import ErrorCode, FlussError


class TypeRoot(str, Enum):
    """Kind of a data type; the value is the name in JSON."""

    BOOLEAN = "BOOLEAN"
    TINYINT = "TINYINT"
    SMALLINT = "SMALLINT"
    INTEGER = "INTEGER"
    BIGINT = "BIGINT"
    FLOAT = "FLOAT"
    DOUBLE = "DOUBLE"
    CHAR = "CHAR"
    STRING = "STRING"
    BINARY = "BINARY"
    BYTES = "BYTES"
    DECIMAL = "DECIMAL"
    DATE = "DATE"
    TIME = "TIME_WITHOUT_TIME_ZONE"
    TIMESTAMP = "TIMESTAMP_WITHOUT_TIME_ZONE"
    TIMESTAMP_LTZ = "TIMESTAMP_WITH_LOCAL_TIME_ZONE"
    ARRAY = "ARRAY"
    MAP = "MAP"
    ROW = "ROW"


NESTED_ROOTS = frozenset({TypeRoot.ARRAY, TypeRoot.MAP, TypeRoot.ROW})
_LENGTH_ROOTS = frozenset({TypeRoot.CHAR, TypeRoot.BINARY})
_PRECISION_ROOTS = frozenset({TypeRoot.TIME, TypeRoot.TIMESTAMP, TypeRoot.TIMESTAMP_LTZ})
MAX_ID = 2**31 - 1
_MAX_LENGTH = 2**31 - 1
MAX_DECIMAL_PRECISION = 38
MAX_NESTING = 30  # levels of ARRAY, MAP and ROW; Arrow readers follow 64 levels of fields, and a MAP takes two of them
MAX_COMPACT_DECIMAL_PRECISION = 18
MAX_COMPACT_TIMESTAMP_PRECISION = 3


@dataclass(frozen=True, slots=True)
class RowField:
    """A field of a ROW type."""

    name: str
    type: DataType
    description: str | None = None
    field_id: int = -1


@dataclass(frozen=True, slots=True)
class DataType:
    """A data type; build one with the functions of this module or :meth:`from_json`.

    Attributes:
        root: kind of the type.
        nullable: whether values may be null.
        length: CHAR and BINARY, 1 to 2^31-1.
        precision: DECIMAL 1-38; TIME and both TIMESTAMPs 0-9.
        scale: DECIMAL, 0 to ``precision``.
        element: element type of ARRAY, value type of MAP.
        key: key type of MAP.
        fields: fields of ROW.
    """

    root: TypeRoot
    nullable: bool = True
    length: int = 0
    precision: int = 0
    scale: int = 0
    element: DataType | None = None
    key: DataType | None = None
    fields: tuple[RowField, ...] = ()

    @property
    def is_compact_decimal(self) -> bool:
        """A DECIMAL whose unscaled value needs at most 64 bits."""
        return self.precision <= MAX_COMPACT_DECIMAL_PRECISION

    @property
    def is_compact_timestamp(self) -> bool:
        """A timestamp stored as milliseconds alone."""
        return self.precision <= MAX_COMPACT_TIMESTAMP_PRECISION

    def with_nullable(self, nullable: bool) -> DataType:
        """The same type with another nullability."""
        return replace(self, nullable=nullable)

    def to_json(self) -> dict[str, Any]:
        """The document of the schema JSON; ``nullable`` appears only when false."""
        document: dict[str, Any] = {"type": self.root.value}
        if not self.nullable:
            document["nullable"] = False
        if self.root in _LENGTH_ROOTS:
            document["length"] = self.length
        elif self.root is TypeRoot.DECIMAL:
            document["precision"] = self.precision
            document["scale"] = self.scale
        elif self.root in _PRECISION_ROOTS:
            document["precision"] = self.precision
        elif self.root is TypeRoot.ARRAY:
            assert self.element is not None
            document["element_type"] = self.element.to_json()
        elif self.root is TypeRoot.MAP:
            assert self.key is not None
            assert self.element is not None
            document["key_type"] = self.key.to_json()
            document["value_type"] = self.element.to_json()
        elif self.root is TypeRoot.ROW:
            document["fields"] = [_field_to_json(field) for field in self.fields]
        return document

    @classmethod
    def from_json(cls, document: Any) -> DataType:
        """Read the document of :meth:`to_json`; the key of a MAP becomes NOT NULL.

        Raises:
            FlussError: ``INVALID_TABLE_EXCEPTION`` when it is not one.
        """
        return cls._from_json(document, 0)

    @classmethod
    def _from_json(cls, document: Any, depth: int) -> DataType:
        if depth > MAX_NESTING:
            raise _invalid(f"data types may be nested {MAX_NESTING} levels deep at most")
        if not isinstance(document, Mapping):
            raise _invalid(f"a data type must be an object, not {document!r}")
        try:
            root = TypeRoot(document.get("type"))
        except ValueError:
            raise _invalid(f"unknown data type {document.get('type')!r}") from None
        nullable = document.get("nullable", True)
        if not isinstance(nullable, bool):
            raise _invalid(f"nullable must be true or false, not {nullable!r}")
        if root in _LENGTH_ROOTS:
            return cls(root, nullable, length=_integer(document, "length", 1, _MAX_LENGTH))
        if root is TypeRoot.DECIMAL:
            precision = _integer(document, "precision", 1, MAX_DECIMAL_PRECISION)
            return cls(root, nullable, precision=precision, scale=_integer(document, "scale", 0, precision))
        if root in _PRECISION_ROOTS:
            return cls(root, nullable, precision=_integer(document, "precision", 0, 9))
        if root is TypeRoot.ARRAY:
            return cls(root, nullable, element=cls._from_json(document.get("element_type"), depth + 1))
        if root is TypeRoot.MAP:
            key = cls._from_json(document.get("key_type"), depth + 1).with_nullable(False)
            return cls(root, nullable, key=key, element=cls._from_json(document.get("value_type"), depth + 1))
        if root is TypeRoot.ROW:
            fields = document.get("fields")
            if not isinstance(fields, list):
                raise _invalid("a ROW type needs a list of fields")
            parsed = tuple(cls._field_from_json(field, depth + 1) for field in fields)
            if len({field.name for field in parsed}) < len(parsed):
                raise _invalid(f"a ROW type names a field twice: {', '.join(field.name for field in parsed)}")
            return cls(root, nullable, fields=parsed)
        return cls(root, nullable)

    @classmethod
    def _field_from_json(cls, document: Any, depth: int) -> RowField:
        if not isinstance(document, Mapping) or not isinstance(document.get("name"), str):
            raise _invalid(f"a ROW field needs a name and a type, got {document!r}")
        description = document.get("description")
        if not (description is None or isinstance(description, str)):
            raise _invalid(f"the description of ROW field {document['name']!r} must be text")
        field_id = -1 if document.get("field_id") is None else _integer(document, "field_id", -1, MAX_ID)
        return RowField(document["name"], cls._from_json(document.get("field_type"), depth), description, field_id)

    def __str__(self) -> str:
        """SQL text, for messages and the command line."""
        return self._sql() + ("" if self.nullable else " NOT NULL")

    def _sql(self) -> str:
        if self.root in _LENGTH_ROOTS:
            return f"{self.root.value}({self.length})"
        if self.root is TypeRoot.DECIMAL:
            return f"DECIMAL({self.precision}, {self.scale})"
        if self.root in _PRECISION_ROOTS:
            return f"{self.root.name}({self.precision})"
        if self.root is TypeRoot.ARRAY:
            return f"ARRAY<{self.element}>"
        if self.root is TypeRoot.MAP:
            return f"MAP<{self.key}, {self.element}>"
        if self.root is TypeRoot.ROW:
            return "ROW<" + ", ".join(f"`{field.name}` {field.type}" for field in self.fields) + ">"
        return "INT" if self.root is TypeRoot.INTEGER else self.root.value


def _field_to_json(field: RowField) -> dict[str, Any]:
    document: dict[str, Any] = {"name": field.name, "field_type": field.type.to_json()}
    if field.description is not None:
        document["description"] = field.description
    document["field_id"] = field.field_id
    return document


def _integer(document: Mapping[str, Any], name: str, low: int, high: int) -> int:
    value = document.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        owner = document.get("type") or document.get("name")
        raise _invalid(f"{owner}: {name} must be {low} to {high}, not {value!r}")
    return value


def _invalid(message: str) -> FlussError:
    return FlussError(ErrorCode.INVALID_TABLE_EXCEPTION, message)
