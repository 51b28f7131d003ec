"""Lost requests, responses, connections, sessions and servers: nothing is reported that is not so."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from kazoo.client import KazooClient

from fluss_server.coordinator.fencing import COORDINATOR_EPOCH, FencedStore, fence
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.store import (
    UNKNOWN_VERSION,
    Check,
    Conflict,
    Create,
    Delete,
    Event,
    EventKind,
    MetadataConflict,
    Node,
    Set,
    StoreOperation,
    UnknownOutcome,
)
from fluss_server.metadata.zookeeper.states import ConnectionState
from fluss_server.metadata.zookeeper.store import ZooKeeperMetadataStore
from fluss_server.runtime import system_runtime
from metadata_contract import everything
from zookeeper.lossy_proxy import Loss, LossyProxy
from zookeeper_support import ZooKeeperServer

pytestmark = pytest.mark.java

WAIT_S = 20.0


async def connect(zookeeper: ZooKeeperServer, root: str, session_timeout_s: float = 10.0) -> ZooKeeperMetadataStore:
    return await ZooKeeperMetadataStore.connect(zookeeper.settings(root, session_timeout_s), system_runtime())


async def until(condition: Callable[[], bool]) -> None:
    deadline = asyncio.get_running_loop().time() + WAIT_S
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


def through_a_proxy(
    zookeeper: ZooKeeperServer,
    root: str,
    scenario: Callable[[ZooKeeperMetadataStore, LossyProxy], Awaitable[None]],
    session_timeout_s: float = 10.0,
) -> None:
    """Run a scenario on a store that is connected through a proxy."""

    async def all_of_it() -> None:
        async with LossyProxy(zookeeper.port) as proxy:
            settings = replace(zookeeper.settings(root, session_timeout_s), address=proxy.address)
            store = await ZooKeeperMetadataStore.connect(settings, system_runtime())
            try:
                await scenario(store, proxy)
            finally:
                await store.close()

    asyncio.run(all_of_it())


# ---------------------------------------------------------------- lost responses


def test_a_commit_whose_response_is_lost_is_made_once_and_reported(zookeeper: ZooKeeperServer, root: str) -> None:
    async def scenario(store: ZooKeeperMetadataStore, proxy: LossyProxy) -> None:
        assert await store.commit([Create("/a", b"1"), Create("/c")]) == [0, 0]
        sent = proxy.transactions
        proxy.losses = [Loss.RESPONSE]
        operations: list[StoreOperation] = [
            Set("/a", b"2"),
            Create("/b"),
            Set("/c", b"3", 0),
            Check("/a", 1),
            Check("/b"),
            Delete("/b", 0),
        ]
        assert await store.commit(operations) == [1, 0, 1, 1, UNKNOWN_VERSION, 0]
        assert proxy.transactions == sent + 1
        assert await everything(store) == {"/a": (b"2", 1), "/c": (b"3", 1)}

    through_a_proxy(zookeeper, root, scenario)


def test_a_conflict_whose_response_is_lost_is_a_conflict(zookeeper: ZooKeeperServer, root: str) -> None:
    async def scenario(store: ZooKeeperMetadataStore, proxy: LossyProxy) -> None:
        await store.commit([Create("/a", b"1")])
        proxy.losses = [Loss.RESPONSE]
        with pytest.raises(MetadataConflict) as caught:
            await store.commit([Set("/a", b"2"), Create("/a", b"1")])
        assert caught.value.reason is Conflict.NODE_EXISTS
        assert await everything(store) == {"/a": (b"1", 0)}

    through_a_proxy(zookeeper, root, scenario)


def test_a_commit_that_did_not_arrive_is_made_again(zookeeper: ZooKeeperServer, root: str) -> None:
    async def scenario(store: ZooKeeperMetadataStore, proxy: LossyProxy) -> None:
        proxy.losses = [Loss.REQUEST, Loss.REQUEST]
        assert await store.commit([Create("/a", b"1")]) == [0]
        assert await store.get("/a") == Node(b"1", 0)

    through_a_proxy(zookeeper, root, scenario)


def test_a_commit_that_never_arrives_is_an_error_and_changes_nothing(zookeeper: ZooKeeperServer, root: str) -> None:
    """An ensemble whose limit of requests is smaller than ours closes the connection."""

    async def scenario(store: ZooKeeperMetadataStore, proxy: LossyProxy) -> None:
        proxy.losses = [Loss.REQUEST] * 3
        with pytest.raises(FlussError, match="did not arrive at ZooKeeper 3 times") as caught:
            await store.commit([Create("/a", b"1")])
        assert caught.value.code is ErrorCode.STORAGE_EXCEPTION
        assert "jute.maxbuffer" in (caught.value.hint or "")
        assert await everything(store) == {}

    through_a_proxy(zookeeper, root, scenario)


@pytest.mark.parametrize("loss", list(Loss))
def test_an_outcome_that_cannot_be_read_is_unknown(zookeeper: ZooKeeperServer, root: str, loss: Loss) -> None:
    async def scenario(store: ZooKeeperMetadataStore, proxy: LossyProxy) -> None:
        fenced = await fence(store)
        await fenced.commit([Create("/a", b"1")])
        proxy.losses, proxy.refusing = [loss], True
        with pytest.raises(UnknownOutcome) as caught:
            await fenced.commit([Set("/a", b"2")])
        assert caught.value.code is ErrorCode.REQUEST_TIME_OUT
        assert caught.value.retriable
        await asyncio.wait_for(fenced.stopped(), WAIT_S)
        proxy.refusing = False
        # The coordinator writes nothing any more, because it does not know what is stored.
        with pytest.raises(FlussError, match="writes nothing any more") as refused:
            await fenced.commit([Set("/a", b"3")])
        assert refused.value.code is ErrorCode.NOT_COORDINATOR_LEADER_EXCEPTION
        again = await fence(store)
        assert again.epoch == fenced.epoch + 1
        assert await again.get("/a") == (Node(b"2", 1) if loss is Loss.RESPONSE else Node(b"1", 0))

    through_a_proxy(zookeeper, root, scenario, session_timeout_s=2.0)


def test_two_that_become_coordinator_at_once_never_have_one_epoch(zookeeper: ZooKeeperServer, root: str) -> None:
    """Both write the same bytes, so the node itself does not tell whose they are when a response is lost."""

    async def scenario(store: ZooKeeperMetadataStore, proxy: LossyProxy) -> None:
        other = await connect(zookeeper, root)
        epochs = [(await fence(store)).epoch]
        for loss in (Loss.RESPONSE, Loss.REQUEST, Loss.RESPONSE):
            proxy.losses = [loss]
            results = await asyncio.gather(fence(store), fence(other), return_exceptions=True)
            winners = [result.epoch for result in results if isinstance(result, FencedStore)]
            assert winners
            assert all(isinstance(result, FencedStore | MetadataConflict) for result in results)
            epochs += winners
        assert len(set(epochs)) == len(epochs)
        await other.close()

    through_a_proxy(zookeeper, root, scenario)


# ---------------------------------------------------------------- fencing


def test_a_deposed_coordinator_changes_nothing(zookeeper: ZooKeeperServer, root: str) -> None:
    async def scenario() -> None:
        old_store, new_store = await connect(zookeeper, root), await connect(zookeeper, root)
        old = await fence(old_store)
        await old.commit([Create("/a", b"1")])
        new = await fence(new_store)
        await new.commit([Set("/a", b"2")])
        before = await everything(new_store)
        for operations in ([Set("/a", b"3")], [Create("/b")], [Delete("/a")], [Set("/a", b"4", 1)]):
            with pytest.raises(FlussError, match="was replaced") as caught:
                await old.commit(operations)
            assert caught.value.code is ErrorCode.NOT_COORDINATOR_LEADER_EXCEPTION
        assert await everything(new_store) == before
        epoch = await new_store.get(COORDINATOR_EPOCH)
        assert epoch is not None
        assert epoch.value == b"1"
        await old_store.close()
        await new_store.close()

    asyncio.run(scenario())


# ---------------------------------------------------------------- sessions


def end_session_of(store: ZooKeeperMetadataStore, zookeeper: ZooKeeperServer) -> None:
    """End a session from outside: another client connects with its id and password, and closes it."""
    connection = store.client._connection
    assert connection is not None
    thief = KazooClient(zookeeper.address, client_id=connection._client.client_id)
    thief.start()
    thief.stop()
    thief.close()


@pytest.mark.parametrize("by", ["freezing", "closing"])
def test_after_a_lost_session_owners_register_again(zookeeper: ZooKeeperServer, root: str, by: str) -> None:
    async def scenario() -> None:
        store, observer = await connect(zookeeper, root, 2.0), await connect(zookeeper, root, 20.0)
        await store.commit([Create("/ids")])
        states: list[ConnectionState] = []
        registrations = 0

        async def register() -> None:
            nonlocal registrations
            session = await store.open_session()
            await store.commit([Create("/ids/1", b"%d" % registrations, session)])
            registrations += 1

        def changed(state: ConnectionState) -> None:
            states.append(state)
            if state is ConnectionState.LOST:
                assert session.closed
            if state is ConnectionState.CONNECTED and ConnectionState.LOST in states:
                tasks.append(asyncio.ensure_future(register()))

        tasks: list[asyncio.Task[None]] = []
        store.add_listener(changed)
        session = await store.open_session()
        await register()
        assert await observer.get("/ids/1") == Node(b"0", 0, session.session_id)
        if by == "freezing":
            zookeeper.freeze()
            await until(lambda: ConnectionState.LOST in states)
            zookeeper.thaw()
        else:
            await asyncio.to_thread(end_session_of, store, zookeeper)
        await until(lambda: bool(tasks) and tasks[-1].done())
        assert await observer.get("/ids/1") == Node(b"1", 0, (await store.open_session()).session_id)
        assert session.closed
        with pytest.raises(MetadataConflict) as caught:
            await store.commit([Create("/ids/2", b"", session)])
        assert caught.value.reason is Conflict.SESSION_CLOSED
        await store.commit([Create("/c")])
        await session.close()
        await store.close()
        assert await observer.children("/ids") == []
        await observer.close()

    asyncio.run(scenario())


def test_a_watch_goes_on_through_lost_connections_and_sessions(zookeeper: ZooKeeperServer, root: str) -> None:
    async def scenario(store: ZooKeeperMetadataStore, proxy: LossyProxy) -> None:
        other = await connect(zookeeper, root)
        await other.commit([Create("/a"), Create("/a/b"), Create("/a/c")])
        watch = store.watch("/a")
        assert await asyncio.wait_for(anext(watch), WAIT_S) == Event(EventKind.OVERFLOW, "/a")
        proxy.refusing = True
        proxy.cut()
        await until(lambda: store.connection is ConnectionState.SUSPENDED)
        await other.commit([Set("/a/b", b"1"), Delete("/a/c"), Create("/a/d")])
        await other.commit([Create("/a/c")])
        proxy.refusing = False
        seen = {await asyncio.wait_for(anext(watch), WAIT_S) for _ in range(4)}
        assert seen == {
            Event(EventKind.CHANGED, "/a/b"),
            Event(EventKind.CREATED, "/a/d"),
            Event(EventKind.DELETED, "/a/c"),
            Event(EventKind.CREATED, "/a/c"),
        }
        await asyncio.to_thread(end_session_of, store, zookeeper)
        assert await asyncio.wait_for(anext(watch), WAIT_S) == Event(EventKind.OVERFLOW, "/a")
        await other.commit([Set("/a/d", b"2")])
        assert await asyncio.wait_for(anext(watch), WAIT_S) == Event(EventKind.CHANGED, "/a/d")
        await other.close()

    through_a_proxy(zookeeper, root, scenario)


# ---------------------------------------------------------------- restarts of ZooKeeper


def test_no_acknowledged_commit_is_lost_when_zookeeper_is_killed(root: str) -> None:
    """Writers commit during three kills; afterwards the tree is what their acknowledgements say."""

    async def scenario(zookeeper: ZooKeeperServer) -> None:
        store = await connect(zookeeper, root, 8.0)
        await store.commit([Create("/n"), Create("/counter")])
        acknowledged: list[int] = []
        refused: list[int] = []
        unknown: list[int] = []
        stop = False

        async def write(first: int) -> None:
            number = first
            while not stop:
                try:
                    await store.commit([Create(f"/n/{number}"), Set("/counter", b"%d" % number)])
                    acknowledged.append(number)
                except UnknownOutcome:
                    unknown.append(number)
                except FlussError:
                    refused.append(number)
                number += 3

        writers = [asyncio.ensure_future(write(first)) for first in range(3)]
        for _ in range(3):
            before = len(acknowledged)
            await until(lambda before=before: len(acknowledged) > before + 20)  # type: ignore[misc]
            await asyncio.to_thread(zookeeper.restart)
        before = len(acknowledged)
        await until(lambda: len(acknowledged) > before + 20)
        stop = True
        await asyncio.gather(*writers)
        stored = set(map(int, await store.children("/n")))
        assert len(acknowledged) == len(set(acknowledged))
        assert set(acknowledged) <= stored
        assert not stored & set(refused)
        assert stored - set(acknowledged) <= set(unknown)
        counter = await store.get("/counter")
        assert counter is not None
        assert counter.version == len(stored)
        await store.close()

    with ZooKeeperServer() as zookeeper:
        asyncio.run(scenario(zookeeper))
