"""Who may fetch in the name of a follower."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metrics.instruments import RequestStats
from fluss_server.rpc.service import Handler, RequestContext

if TYPE_CHECKING:
    from fluss_server.security.rules import Response


class FollowerFetches:
    """Keeps clients from fetching in the name of a follower, and counts the fetches of followers separately. An
    interceptor; give it to a ``ServiceRegistry`` as the last one.

    Whoever fetches as a follower reads what is not committed yet, and tells the leader what it has. The rules of
    authorization decide who may, see ``rules.py``; here it is decided where.

    Args:
        internal_listener: where followers fetch; None = the server has no followers, and fetches that claim to be of
            one are served as those of clients.
    """

    def __init__(self, internal_listener: str | None) -> None:
        self._internal_listener = internal_listener

    def __call__(self, handler: Handler) -> Handler:
        """The handler with the check before it; handlers of other APIs stay as they are."""
        if handler.spec.key is not ApiKey.FETCH_LOG:
            return handler
        method, internal, stats = handler.method, self._internal_listener, RequestStats()

        def checked(request: pb.FetchLogRequest, context: RequestContext) -> Response:
            if request.follower_server_id >= 0:
                if context.listener == internal:
                    context.count_in(stats)
                else:
                    _refuse_or_demote(request, internal)
            return method(request, context)

        return dataclasses.replace(handler, method=checked, is_async=False, server_stats=stats)


def _refuse_or_demote(request: Any, internal: str | None) -> None:
    if internal is not None:
        raise FlussError(
            ErrorCode.AUTHORIZATION_EXCEPTION,
            "fetches of followers are served on the internal listener only",
            hint="a client sends follower_server_id -1",
        )
    request.follower_server_id = -1
