"""What every :class:`~fluss_server.metadata.store.MetadataStore` does, whether it is a file or ZooKeeper."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.store import (
    UNKNOWN_VERSION,
    Check,
    Conflict,
    Create,
    Delete,
    EventKind,
    MetadataConflict,
    MetadataStore,
    Node,
    Set,
    StoreOperation,
    deletions_below,
    in_batches,
    missing_parents,
)

OpenStore = Callable[[], AbstractAsyncContextManager[MetadataStore]]
"""Opens a store; what an earlier one of the same test has written is in it."""

WAIT_S = 20.0


async def everything(store: MetadataStore, path: str = "/") -> dict[str, tuple[bytes, int]]:
    """Value and version of every node."""
    found: dict[str, tuple[bytes, int]] = {}
    for name in await store.children(path):
        child = path.rstrip("/") + "/" + name
        node = await store.get(child)
        assert isinstance(node, Node)
        found[child] = (node.value, node.version)
        found.update(await everything(store, child))
    return found


def run(open_store: OpenStore, scenario: Callable[[MetadataStore], Awaitable[None]]) -> None:
    async def all_of_it() -> None:
        async with open_store() as store:
            await scenario(store)

    asyncio.run(all_of_it())


class MetadataContract:
    """Tests of the interface; a subclass has a fixture ``open_store``, whose store is empty at first."""

    def test_versions(self, open_store: OpenStore) -> None:
        async def scenario(store: MetadataStore) -> None:
            assert await store.commit([Create("/a", b"1"), Create("/a/b")]) == [0, 0]
            assert await store.get("/a") == Node(b"1", 0)
            assert await store.commit([Set("/a", b"2"), Set("/a", b"3", 1)]) == [1, 2]
            assert await store.commit([Check("/a", 2), Set("/a", b"", 2), Delete("/a/b", 0)]) == [2, 3, 0]
            assert await store.get("/a") == Node(b"", 3)
            assert (await store.commit([Check("/a")]))[0] in (3, UNKNOWN_VERSION)
            assert await store.commit([Create("/a/b", b"again")]) == [0]
            assert await store.commit([]) == []
            assert await everything(store) == {"/a": (b"", 3), "/a/b": (b"again", 0)}

        run(open_store, scenario)

    def test_operations_see_those_before_them(self, open_store: OpenStore) -> None:
        async def scenario(store: MetadataStore) -> None:
            await store.commit(
                [Create("/a"), Create("/a/b", b"1"), Set("/a/b", b"2"), Check("/a/b", 1), Delete("/a/b"), Delete("/a")]
            )
            assert await everything(store) == {}

        run(open_store, scenario)

    @pytest.mark.parametrize(
        ("operation", "reason", "path"),
        [
            (Create("/a"), Conflict.NODE_EXISTS, "/a"),
            (Create("/x/y"), Conflict.NO_PARENT, "/x/y"),
            (Set("/x", b""), Conflict.NO_NODE, "/x"),
            (Set("/a", b"", 1), Conflict.BAD_VERSION, "/a"),
            (Delete("/x"), Conflict.NO_NODE, "/x"),
            (Delete("/a"), Conflict.NOT_EMPTY, "/a"),
            (Delete("/a/b", 7), Conflict.BAD_VERSION, "/a/b"),
            (Check("/x"), Conflict.NO_NODE, "/x"),
            (Check("/a", 1), Conflict.BAD_VERSION, "/a"),
            (Create("/e/x"), Conflict.EPHEMERAL_PARENT, "/e/x"),
        ],
    )
    def test_a_conflict_changes_nothing(
        self, open_store: OpenStore, operation: StoreOperation, reason: Conflict, path: str
    ) -> None:
        async def scenario(store: MetadataStore) -> None:
            session = await store.open_session()
            await store.commit([Create("/a", b"1"), Create("/a/b"), Create("/e", b"", session)])
            before = await everything(store)
            with pytest.raises(MetadataConflict) as caught:
                await store.commit([Create("/new"), Set("/a/b", b"2"), operation, Create("/a/c")])
            assert (caught.value.reason, caught.value.path) == (reason, path)
            assert await everything(store) == before

        run(open_store, scenario)

    def test_what_is_not_there(self, open_store: OpenStore) -> None:
        async def scenario(store: MetadataStore) -> None:
            assert await store.get("/a") is None
            assert await store.get_all([]) == []
            with pytest.raises(MetadataConflict) as caught:
                await store.children("/a")
            assert (caught.value.reason, caught.value.path) == (Conflict.NO_NODE, "/a")
            await store.commit([Create("/b", b"b")])
            assert await store.get_all(["/a", "/b", "/a"]) == [None, Node(b"b", 0), None]

        run(open_store, scenario)

    def test_what_no_state_of_the_tree_allows(self, open_store: OpenStore) -> None:
        async def scenario(store: MetadataStore) -> None:
            limits = store.limits
            for bad in (
                [Create("a")],
                [Delete("/")],
                [Set("/a//b", b"")],
                [Create("/a", bytes(limits.value_bytes + 1))],
            ):
                with pytest.raises(ValueError, match=r"path|root|limit"):
                    await store.commit([Create("/good"), *bad])
            with pytest.raises(ValueError, match="limit"):
                await store.commit([Check("/a")] * (limits.operations + 1))
            with pytest.raises(ValueError, match="path"):
                await store.get("a")
            with pytest.raises(ValueError, match="path"):
                store.watch("a")
            assert await everything(store) == {}

        run(open_store, scenario)

    def test_the_limits_are_possible(self, open_store: OpenStore) -> None:
        async def scenario(store: MetadataStore) -> None:
            count = min(store.limits.operations, 5000)
            largest = bytes(store.limits.value_bytes)
            await store.commit([Create("/a"), *(Create(f"/a/{number}") for number in range(count - 1))])
            await store.commit([Create("/largest", largest)])
            node = await store.get("/largest")
            assert node is not None
            assert node.value == largest
            assert len(await store.children("/a")) == count - 1
            deletions = [Delete(f"/a/{number}") for number in range(count - 1)]
            for batch in in_batches(
                [*deletions, Delete("/a"), Create("/b", largest), Create("/c", b"1")], store.limits
            ):
                await store.commit(batch)
            assert (await everything(store)).keys() == {"/largest", "/b", "/c"}

        run(open_store, scenario)

    def test_everything_is_there_in_the_next_store(self, open_store: OpenStore) -> None:
        async def first(store: MetadataStore) -> None:
            session = await store.open_session()
            await store.commit([Create("/a", b"1"), Create("/gone", b"", session)])
            await store.commit([Set("/a", b"2")])

        async def second(store: MetadataStore) -> None:
            assert await everything(store) == {"/a": (b"2", 1)}
            assert await store.commit([Set("/a", b"3", 1)]) == [2]

        run(open_store, first)
        run(open_store, second)

    def test_ephemeral_nodes_go_with_their_session(self, open_store: OpenStore) -> None:
        async def scenario(store: MetadataStore) -> None:
            one, two = await store.open_session(), await store.open_session()
            await store.commit([Create("/ids"), Create("/ids/1", b"x", one), Create("/ids/2", b"y", two)])
            node = await store.get("/ids/1")
            assert node == Node(b"x", 0, one.session_id)
            await store.commit([Set("/ids/1", b"z"), Delete("/ids/2"), Create("/ids/2", b"persistent")])
            assert not one.closed
            await one.close()
            await one.close()
            assert one.closed
            assert await store.children("/ids") == ["2"]
            with pytest.raises(MetadataConflict) as caught:
                await store.commit([Create("/ids/3", b"", one)])
            assert caught.value.reason is Conflict.SESSION_CLOSED
            await store.commit([Create("/ids/4", b"", two)])
            await two.close()
            assert await everything(store) == {"/ids": (b"", 0), "/ids/2": (b"persistent", 0)}

        run(open_store, scenario)

    def test_concurrent_creations_of_one_node_have_one_winner(self, open_store: OpenStore) -> None:
        async def scenario(store: MetadataStore) -> None:
            results = await asyncio.gather(*(store.commit([Create("/a")]) for _ in range(20)), return_exceptions=True)
            assert results.count([0]) == 1
            assert sum(isinstance(result, MetadataConflict) for result in results) == 19

        run(open_store, scenario)

    def test_a_commit_ends_although_its_caller_is_gone(self, open_store: OpenStore) -> None:
        async def scenario(store: MetadataStore) -> None:
            caller = asyncio.ensure_future(store.commit([Create("/a", b"1")]))
            await asyncio.sleep(0)
            caller.cancel()
            assert await store.commit([Set("/a", b"2", 0)]) == [1]

        run(open_store, scenario)

    def test_a_change_is_reported_before_it_is_read(self, open_store: OpenStore) -> None:
        """Watches are hints: whoever reads after each event sees everything in the end."""

        async def scenario(store: MetadataStore) -> None:
            watch = store.watch("/a")
            seen: dict[str, tuple[bytes, int]] = {}
            kinds: set[EventKind] = set()

            async def follow() -> None:
                async for event in watch:
                    assert event.path == "/a" or event.path.startswith("/a/")
                    kinds.add(event.kind)
                    seen.clear()
                    if (node := await store.get("/a")) is not None:
                        seen.update({"/a": (node.value, node.version)}, **await below_a())

            async def below_a() -> dict[str, tuple[bytes, int]]:
                try:
                    return await everything(store, "/a")
                except MetadataConflict:
                    return {}  # deleted meanwhile; there is an event for that

            async def until_seen(wanted: dict[str, tuple[bytes, int]]) -> None:
                deadline = asyncio.get_running_loop().time() + WAIT_S
                while seen != wanted:
                    assert asyncio.get_running_loop().time() < deadline, f"{seen} instead of {wanted}"
                    await asyncio.sleep(0.01)

            following = asyncio.ensure_future(follow())
            await store.commit([Create("/a", b"1"), Create("/other")])
            await until_seen({"/a": (b"1", 0)})
            await store.commit([Create("/a/b", b"2"), Create("/a/b/c", b"3")])
            await until_seen({"/a": (b"1", 0), "/a/b": (b"2", 0), "/a/b/c": (b"3", 0)})
            await store.commit([Set("/a/b/c", b"4"), Create("/a/d")])
            await until_seen({"/a": (b"1", 0), "/a/b": (b"2", 0), "/a/b/c": (b"4", 1), "/a/d": (b"", 0)})
            await store.commit([Delete("/a/d"), Delete("/a/b/c")])
            await store.commit([Create("/a/b/c", b"5")])
            await until_seen({"/a": (b"1", 0), "/a/b": (b"2", 0), "/a/b/c": (b"5", 0)})
            await store.commit(await deletions_below(store, "/a"))
            await until_seen({})
            await store.commit([Create("/a", b"6")])
            await until_seen({"/a": (b"6", 0)})
            assert {EventKind.CREATED, EventKind.CHANGED, EventKind.DELETED} <= kinds
            watch.close()
            await asyncio.wait_for(following, WAIT_S)

        run(open_store, scenario)

    def test_a_watch_ends_with_its_store(self, open_store: OpenStore) -> None:
        async def scenario(store: MetadataStore) -> None:
            watch = store.watch("/a")
            session = await store.open_session()
            await store.close()
            await store.close()
            assert session.closed
            assert [event async for event in watch] == []
            for request in (store.commit([Create("/b")]), store.open_session()):
                with pytest.raises(FlussError, match="closed") as caught:
                    await request
                assert caught.value.code is ErrorCode.STORAGE_EXCEPTION

        run(open_store, scenario)

    def test_helpers(self, open_store: OpenStore) -> None:
        async def scenario(store: MetadataStore) -> None:
            await store.commit([*await missing_parents(store, "/a/b/c"), Create("/a/b/c")])
            assert await missing_parents(store, "/a/b/d") == []
            await store.commit([Create("/a/b/c/d"), Create("/a/e")])
            assert sorted(await store.descendants("/a")) == ["/a/b", "/a/b/c", "/a/b/c/d", "/a/e"]
            assert sorted(await store.descendants("/")) == ["/a", "/a/b", "/a/b/c", "/a/b/c/d", "/a/e"]
            assert await store.descendants("/a/e") == []
            with pytest.raises(MetadataConflict) as caught:
                await store.descendants("/x")
            assert (caught.value.reason, caught.value.path) == (Conflict.NO_NODE, "/x")
            await store.commit(await deletions_below(store, "/a"))
            assert await everything(store) == {}

        run(open_store, scenario)
