"""A naive model of a metadata store, and random scripts to play on a store and on the model."""

from __future__ import annotations

from hypothesis import strategies as st

from fluss_server.metadata.store import Check, Create, Delete, Set, StoreOperation, parent_of

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
commits = st.lists(operations, max_size=4)


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
