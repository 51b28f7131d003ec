"""The store in a real ZooKeeper does what the one in a file does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from example_support import examples
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.store import Create, Event, EventKind, MetadataConflict, MetadataStore
from fluss_server.metadata.zookeeper.settings import ZooKeeperSettings
from fluss_server.metadata.zookeeper.store import ZooKeeperMetadataStore
from fluss_server.runtime import system_runtime
from metadata_contract import MetadataContract, OpenStore, everything
from metadata_model import Model, commits
from zookeeper_support import ZooKeeperServer

pytestmark = pytest.mark.java


class TestContract(MetadataContract):
    @pytest.fixture
    def open_store(self, zookeeper: ZooKeeperServer, root: str) -> OpenStore:
        @asynccontextmanager
        async def opened() -> AsyncIterator[MetadataStore]:
            store = await ZooKeeperMetadataStore.connect(zookeeper.settings(root), system_runtime())
            yield store
            await store.close()

        return opened


RECONNECT = "reconnect"


async def play(connect_settings: ZooKeeperSettings, script: list[object]) -> None:
    store = await ZooKeeperMetadataStore.connect(connect_settings, system_runtime())
    model = Model()
    for step in script:
        if step == RECONNECT:
            await store.close()
            store = await ZooKeeperMetadataStore.connect(connect_settings, system_runtime())
        else:
            assert isinstance(step, list)
            try:
                await store.commit(step)
            except MetadataConflict:
                assert not model.commit(step)
            else:
                assert model.commit(step)
        assert await everything(store) == model.nodes
    await store.close()


_roots = count(1)


@settings(max_examples=examples(15), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=st.lists(st.one_of(commits, st.just(RECONNECT)), max_size=25))
def test_the_store_does_what_the_model_does(zookeeper: ZooKeeperServer, script: list[object]) -> None:
    asyncio.run(play(zookeeper.settings(f"/properties/{next(_roots)}"), script))


def test_the_root_may_lie_deep_and_at_the_top(zookeeper: ZooKeeperServer, root: str) -> None:
    async def scenario() -> None:
        deep = await ZooKeeperMetadataStore.connect(
            ZooKeeperSettings(f"{zookeeper.address}{root}/chroot", "/a/b"), system_runtime()
        )
        await deep.commit([Create("/x", b"1")])
        top = await ZooKeeperMetadataStore.connect(zookeeper.settings("/"), system_runtime())
        node = await top.get(f"{root}/chroot/a/b/x")
        assert node is not None
        assert node.value == b"1"
        assert await deep.children("/") == ["x"]
        await deep.close()
        await top.close()

    asyncio.run(scenario())


def test_nobody_listens() -> None:
    async def scenario() -> None:
        nowhere = ZooKeeperSettings("127.0.0.1:1", connection_timeout_s=0.3, session_timeout_s=1.0, retry_wait_s=0.1)
        with pytest.raises(FlussError, match=r"no connection to ZooKeeper at 127\.0\.0\.1:1") as caught:
            await ZooKeeperMetadataStore.connect(nowhere, system_runtime())
        assert caught.value.code is ErrorCode.STORAGE_EXCEPTION
        assert caught.value.hint is not None

    asyncio.run(scenario())


def test_the_number_of_waiting_commits_is_bounded(
    zookeeper: ZooKeeperServer, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fluss_server.metadata.zookeeper.store.MAX_PENDING_COMMITS", 3)

    async def scenario() -> None:
        store = await ZooKeeperMetadataStore.connect(zookeeper.settings(root), system_runtime())
        results = await asyncio.gather(*(store.commit([Create(f"/{i}")]) for i in range(5)), return_exceptions=True)
        assert [isinstance(result, FlussError) for result in results] == [False, False, False, True, True]
        await store.close()

    asyncio.run(scenario())


def test_a_tree_too_large_to_be_watched_is_reported_again_and_again(
    zookeeper: ZooKeeperServer, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fluss_server.metadata.zookeeper.tree_watch.MAX_WATCHED_NODES", 3)
    monkeypatch.setattr("fluss_server.metadata.zookeeper.tree_watch.POLLING_INTERVAL_S", 0.05)

    async def scenario() -> None:
        store = await ZooKeeperMetadataStore.connect(zookeeper.settings(root), system_runtime())
        await store.commit([Create("/a"), *(Create(f"/a/{number}") for number in range(10))])
        watch = store.watch("/a")
        for _ in range(4):
            assert await asyncio.wait_for(anext(watch), 20) == Event(EventKind.OVERFLOW, "/a")
        await store.close()

    asyncio.run(scenario())
