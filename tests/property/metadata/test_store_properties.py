"""The embedded store against a naive model, through restarts, torn tails and compactions."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from example_support import examples
from fluss_server.metadata import embedded
from fluss_server.metadata.embedded import EmbeddedMetadataStore
from fluss_server.metadata.store import (
    Check,
    Create,
    Delete,
    MetadataConflict,
    Node,
    Set,
    StoreOperation,
    parent_of,
)
from fluss_server.runtime import system_runtime

names = st.sampled_from(["a", "b", "c"])
paths = st.lists(names, min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts))
values = st.binary(max_size=40)
versions = st.one_of(st.none(), st.integers(0, 2))
operations = st.one_of(
    st.builds(Create, paths, values),
    st.builds(Set, paths, values, versions),
    st.builds(Delete, paths, versions),
    st.builds(Check, paths, versions),
)
RESTART = "restart"
CRASH = "crash"
steps = st.lists(
    st.one_of(st.lists(operations, max_size=4), st.just(RESTART), st.tuples(st.just(CRASH), st.integers(0, 60))),
    max_size=25,
)


class Model:
    """The same semantics, written down as directly as possible."""

    def __init__(self) -> None:
        self.nodes: dict[str, tuple[bytes, int]] = {}

    def commit(self, wanted: list[StoreOperation]) -> bool:
        nodes = dict(self.nodes)
        for operation in wanted:
            path = operation.path
            if isinstance(operation, Create):
                if path in nodes or (parent_of(path) != "/" and parent_of(path) not in nodes):
                    return False
                nodes[path] = (operation.value, 0)
                continue
            if path not in nodes or operation.version not in (None, nodes[path][1]):
                return False
            if isinstance(operation, Set):
                nodes[path] = (operation.value, nodes[path][1] + 1)
            elif isinstance(operation, Delete):
                if any(other.startswith(path + "/") for other in nodes):
                    return False
                del nodes[path]
        self.nodes = nodes
        return True


async def contents(store: EmbeddedMetadataStore, path: str = "/") -> dict[str, tuple[bytes, int]]:
    found: dict[str, tuple[bytes, int]] = {}
    for name in await store.children(path):
        child = path.rstrip("/") + "/" + name
        node = await store.get(child)
        assert isinstance(node, Node)
        found[child] = (node.value, node.version)
        found.update(await contents(store, child))
    return found


async def play(path: Path, script: list[object]) -> None:
    store = EmbeddedMetadataStore.open(path, system_runtime())
    model = Model()
    for step in script:
        if step == RESTART:
            await store.close()
            store = EmbeddedMetadataStore.open(path, system_runtime())
        elif isinstance(step, tuple):
            # A crash: the file stays open in the old store, and a few bytes of a transaction nobody heard of follow.
            with path.open("ab") as file:
                file.write(b"\xffTX1" + b"\x30\0\0\0" + bytes(step[1]))
            store = EmbeddedMetadataStore.open(path, system_runtime())
            assert store.recovery.cut_bytes == 8 + step[1]
        else:
            assert isinstance(step, list)
            try:
                await store.commit(step)
            except MetadataConflict:
                assert not model.commit(step)
            else:
                assert model.commit(step)
        assert await contents(store) == model.nodes
    await store.close()
    assert await contents(EmbeddedMetadataStore.open(path, system_runtime())) == model.nodes


@settings(deadline=None, max_examples=examples(60))
@given(script=steps, compaction=st.sampled_from([1, 200, 1 << 20]))
def test_the_store_does_what_the_model_does(script: list[object], compaction: int) -> None:
    # fsync is what the unit tests are for; here it would only take time
    with (
        tempfile.TemporaryDirectory() as directory,
        mock.patch.object(embedded, "MIN_COMPACTION_BYTES", compaction),
        mock.patch("os.fdatasync"),
    ):
        asyncio.run(play(Path(directory) / "metadata", script))
