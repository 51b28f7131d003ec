"""The merge engine of a table: which merger takes a batch, and what its deletes do."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fluss_server.formats.row_codec import RowCodec, row_codec
from fluss_server.kv.merge_engines.aggregation import AggregateMerger, PartialAggregateMerger
from fluss_server.kv.merge_engines.default import PartialMerger, ReplaceMerger
from fluss_server.kv.merge_engines.first_row import FirstRowMerger
from fluss_server.kv.merge_engines.row_merger import ChangelogImage, DeleteBehavior, RowMerger, invalid_targets
from fluss_server.kv.merge_engines.versioned import VersionedMerger
from fluss_server.model.schema import Schema
from fluss_server.model.table import MergeEngine, TableInfo

_MAX_MERGERS = 64
_REPLACE = ReplaceMerger()


class TableMergers:
    """Mergers of a table, for one version of its schema. One thread.

    Args:
        table: with a primary key; its schema is the latest one.
        schemas: schema of a schema id.

    Attributes:
        codec: gives the row codec of a schema id.
        deletes: what deletes do.
        image: of the changelog.
    """

    def __init__(self, table: TableInfo, schemas: Callable[[int], Schema]) -> None:
        self._table = table
        self._engine = table.merge_engine
        self.codec = _Codecs(table, schemas).__getitem__
        self._partial: dict[tuple[bool, tuple[int, ...]], RowMerger] = {}
        self._whole = self._whole_merger()
        properties = table.descriptor.properties
        default = DeleteBehavior.ALLOW if self._engine is MergeEngine.DEFAULT else DeleteBehavior.IGNORE
        self.deletes = DeleteBehavior(properties.get("table.delete.behavior", default).upper())
        self.image = ChangelogImage(properties.get("table.changelog.image", "FULL").upper())

    def merger(self, target_columns: Sequence[int], *, overwrite: bool) -> tuple[RowMerger, DeleteBehavior]:
        """What takes a batch.

        Args:
            target_columns: positions in the latest schema; empty = all columns.
            overwrite: whether rows replace others whatever the engine, and deletes are allowed. It serves writers
                that put back what was there before a failure.

        Raises:
            FlussError: ``INVALID_TARGET_COLUMN``.
        """
        if not target_columns:
            return (_REPLACE, DeleteBehavior.ALLOW) if overwrite else (self._whole, self.deletes)
        targets = tuple(sorted(set(target_columns)))
        merger = self._partial.get((overwrite, targets))
        if merger is None:
            merger = self._partial_merger(targets, MergeEngine.DEFAULT if overwrite else self._engine)
            if len(self._partial) >= _MAX_MERGERS:
                self._partial.clear()
            self._partial[overwrite, targets] = merger
        return merger, DeleteBehavior.ALLOW if overwrite else self.deletes

    def _whole_merger(self) -> RowMerger:
        table = self._table
        if self._engine is MergeEngine.FIRST_ROW:
            return FirstRowMerger()
        if self._engine is MergeEngine.VERSIONED:
            column = table.descriptor.properties["table.merge-engine.versioned.ver-column"]
            return VersionedMerger(table.schema, column, self.codec)
        if self._engine is MergeEngine.AGGREGATION:
            return AggregateMerger(table.schema, table.schema_id, table.kv_format, self.codec)
        return _REPLACE

    def _partial_merger(self, targets: tuple[int, ...], engine: MergeEngine) -> RowMerger:
        schema, schema_id = self._table.schema, self._table.schema_id
        if engine is MergeEngine.AGGREGATION:
            return PartialAggregateMerger(schema, schema_id, self._table.kv_format, targets, self.codec)
        if engine is not MergeEngine.DEFAULT:
            raise invalid_targets(
                f"{self._table.path} has the merge engine {engine.value}, which knows no partial updates",
                hint="write all columns",
            )
        if targets == tuple(range(len(schema.columns))):
            return _REPLACE
        return PartialMerger(schema, schema_id, targets, self.codec, self._table.kv_format)


class _Codecs(dict[int, RowCodec]):
    """Row codecs by schema id, made when they are first needed."""

    def __init__(self, table: TableInfo, schemas: Callable[[int], Schema]) -> None:
        super().__init__()
        self._kv_format = table.kv_format
        self._schemas = schemas

    def __missing__(self, schema_id: int) -> RowCodec:
        codec = self[schema_id] = row_codec(self._schemas(schema_id).types, self._kv_format)
        return codec
