"""Settings and health, over a real metadata store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.config import Option, OptionType
from fluss_server.config.dynamic import DynamicConfiguration
from fluss_server.config.option import option_table
from fluss_server.coordinator.cluster_service import ClusterService, ReplicaCounts
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.config_records import SERVER_CONFIG, decode_server_config, encode_server_config
from fluss_server.metadata.embedded import EmbeddedMetadataStore
from fluss_server.metadata.journal_file import JournalFile
from fluss_server.metadata.store import Set
from fluss_server.rpc.service import RequestContext
from fluss_server.runtime import system_runtime
from rpc_support import async_test

OPTIONS = option_table(
    [
        Option("size", OptionType.INT, "1", "S.", dynamic=True),
        Option("users", OptionType.MAP, None, "U.", dynamic=True, secret=True),
    ]
)
SET, DELETE, APPEND = 0, 1, 2
CONTEXT = RequestContext(ApiKey.ALTER_CLUSTER_CONFIGS)


class Cluster:
    def __init__(self, path: Path, **initial: str) -> None:
        self.store = EmbeddedMetadataStore.open(path / "metadata", system_runtime())
        self.configuration = DynamicConfiguration(OPTIONS, initial)
        self.counts = ReplicaCounts(3, 3, 3, 3)
        self.service = ClusterService(self.store, self.configuration, lambda: self.counts)

    async def alter(self, *changes: tuple[str, str | None, int]) -> None:
        request = pb.AlterClusterConfigsRequest()
        for key, value, operation in changes:
            request.alter_configs.add(config_key=key, config_value=value, op_type=operation)
        await self.service.alter_cluster_configs(request, CONTEXT)

    def described(self) -> list[tuple[str, str | None, str]]:
        response: Any = self.service.describe_cluster_configs(pb.DescribeClusterConfigsRequest(), CONTEXT)
        return [
            (entry.config_key, entry.config_value if entry.HasField("config_value") else None, entry.config_source)
            for entry in response.configs
            if entry.config_source != "INITIAL_SERVER_CONFIG" or entry.config_value != OPTIONS[entry.config_key].default
        ]


@asynccontextmanager
async def cluster(path: Path, **initial: str) -> AsyncIterator[Cluster]:
    running = Cluster(path, **initial)
    await running.service.load()
    try:
        yield running
    finally:
        await running.service.close()
        await running.store.close()


@async_test
async def test_changes_survive_a_restart(tmp_path: Path) -> None:
    async with cluster(tmp_path, size="2") as running:
        assert running.described() == [("size", "2", "INITIAL_SERVER_CONFIG")]
        await running.alter(("size", "3", SET), ("users", "ann:geheim", APPEND))
        await running.alter()
        assert running.configuration.current.get_int("size") == 3
    async with cluster(tmp_path, size="2") as running:
        assert running.described() == [
            ("size", "3", "DYNAMIC_SERVER_CONFIG"),
            ("users", "ann:******", "DYNAMIC_SERVER_CONFIG"),
        ]
        assert running.configuration.current.get_map("users") == {"ann": "geheim"}
        await running.alter(("size", None, DELETE))
    async with cluster(tmp_path, size="2") as running:
        assert running.configuration.current.get_int("size") == 2


@async_test
async def test_a_refused_request_changes_nothing(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        for bad in (("size", "x", SET), ("other", "1", SET), ("size", "1", 7)):
            with pytest.raises(FlussError) as raised:
                await running.alter(("users", "ann:geheim", SET), bad)
            assert raised.value.code is ErrorCode.CONFIG_EXCEPTION
        assert running.described() == [], "nothing but defaults"
        assert await running.store.get(SERVER_CONFIG) is None


@async_test
async def test_what_cannot_be_stored_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with cluster(tmp_path) as running:
        await running.alter(("size", "2", SET))

        def full(*arguments: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(JournalFile, "append", full)
        with pytest.raises(FlussError) as raised:
            await running.alter(("size", "3", SET))
        assert raised.value.code is ErrorCode.STORAGE_EXCEPTION
        monkeypatch.undo()
        assert running.configuration.current.get_int("size") == 2


@async_test
async def test_settings_of_another_version_are_kept(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        await running.alter(("size", "2", SET))
        await running.store.commit([Set(SERVER_CONFIG, encode_server_config({"size": "4", "future.option": "x"}))])
    async with cluster(tmp_path) as running:
        await running.alter(("size", "5", SET))
        node = await running.store.get(SERVER_CONFIG)
        assert node is not None
        assert decode_server_config(node.value) == {"future.option": "x", "size": "5"}


@async_test
async def test_health(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:

        def health() -> tuple[int, int, int, int, int]:
            response: Any = running.service.get_cluster_health(pb.GetClusterHealthRequest(), CONTEXT)
            return (
                response.num_replicas,
                response.in_sync_replicas,
                response.num_leader_replicas,
                response.active_leader_replicas,
                response.status,
            )

        assert health() == (3, 3, 3, 3, 0)
        running.counts = ReplicaCounts(3, 2, 3, 2)
        assert health() == (3, 2, 3, 2, 2)
        running.counts = ReplicaCounts(0, 0, 0, 0)
        assert health() == (0, 0, 0, 0, 0)
