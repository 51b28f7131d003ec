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
from fluss_server.metadata.store import MetadataConflict
from fluss_server.runtime import system_runtime
from metadata_contract import everything
from metadata_model import Model, commits

RESTART = "restart"
CRASH = "crash"
steps = st.lists(
    st.one_of(commits, st.just(RESTART), st.tuples(st.just(CRASH), st.integers(0, 60))),
    max_size=25,
)


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
        assert await everything(store) == model.nodes
    await store.close()
    assert await everything(EmbeddedMetadataStore.open(path, system_runtime())) == model.nodes


@settings(max_examples=examples(60))
@given(script=steps, compaction=st.sampled_from([1, 200, 1 << 20]))
def test_the_store_does_what_the_model_does(script: list[object], compaction: int) -> None:
    # fsync is what the unit tests are for; here it would only take time
    with (
        tempfile.TemporaryDirectory() as directory,
        mock.patch.object(embedded, "MIN_COMPACTION_BYTES", compaction),
        mock.patch("os.fdatasync"),
    ):
        asyncio.run(play(Path(directory) / "metadata", script))
