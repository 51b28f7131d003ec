"""What is created in an empty metadata store."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from fluss_server.coordinator.catalog_reader import create_frame
from fluss_server.metadata.embedded import EmbeddedMetadataStore
from fluss_server.metadata.store import Delete, StoreOperation
from fluss_server.runtime.runtime import system_runtime

NODES = [
    "/metadata",
    "/metadata/databases",
    "/metadata/partition_seqid",
    "/metadata/table_seqid",
    "/metadata/writer_id",
    "/tabletservers",
    "/tabletservers/partitions",
    "/tabletservers/tables",
]


def test_missing_nodes_are_created_in_one_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commits: list[int] = []
    commit = EmbeddedMetadataStore.commit

    async def counted(store: EmbeddedMetadataStore, operations: Sequence[StoreOperation]) -> None:
        commits.append(len(operations))
        await commit(store, operations)

    monkeypatch.setattr(EmbeddedMetadataStore, "commit", counted)

    async def run() -> None:
        store = EmbeddedMetadataStore.open(tmp_path / "journal", system_runtime())
        try:
            await create_frame(store)
            assert sorted([*await store.descendants("/metadata"), *await store.descendants("/tabletservers")]) == [
                node for node in NODES if node.count("/") == 2
            ]
            assert commits == [len(NODES)]
            await create_frame(store)
            assert commits == [len(NODES)]
            await store.commit([Delete("/tabletservers/partitions"), Delete("/metadata/writer_id")])
            await create_frame(store)
            assert commits == [len(NODES), 2, 2]
        finally:
            await store.close()

    asyncio.run(run())
