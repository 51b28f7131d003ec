"""A service that is loaded with the first request for it: for APIs that most servers are never sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import Any

from fluss_server.api.keys import ApiKey
from fluss_server.rpc.service import Method, RequestContext, ResponseBody, RpcOptions, ServiceProxy, rpc_methods


class LazyService(ServiceProxy):
    """Stands for a service in a ``ServiceRegistry``.

    Its methods are served as plain ones, so their order with others is not kept, and they have none of the options of
    :func:`~fluss_server.rpc.service.rpc`.

    Args:
        keys: the APIs that the service serves, all of them.
        make: imports and makes it. Loading may take some milliseconds of the event loop, once.
    """

    def __init__(self, keys: Sequence[ApiKey], make: Callable[[], object]) -> None:
        self._keys = tuple(keys)
        self._make = make
        self._methods: dict[ApiKey, Method] | None = None

    def rpc_methods(self) -> Iterator[tuple[Method, RpcOptions]]:
        for key in self._keys:
            yield partial(self._call, key), _plain(key)

    def _call(self, key: ApiKey, request: Any, context: RequestContext) -> ResponseBody | Awaitable[ResponseBody]:
        if self._methods is None:
            self._methods = self.load()
        return self._methods[key](request, context)

    def load(self) -> dict[ApiKey, Method]:
        """Make the service; its methods."""
        found: dict[ApiKey, Method] = {}
        for method, options in rpc_methods(self._make()):
            assert options == _plain(options.key), f"{method} has options, so its service cannot be lazy"
            found[options.key] = method
        assert found.keys() == set(self._keys), f"served are {set(found)}, and not {set(self._keys)}"
        return found


def _plain(key: ApiKey) -> RpcOptions:
    return RpcOptions(key, raw=False, cancel_on_disconnect=False, starts_at_once=False)
