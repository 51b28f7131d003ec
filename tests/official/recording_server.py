"""A server that writes down who asked it what: ``recording_server.py FILE ARGUMENTS...`` is ``fluss ARGUMENTS...``.

Every answered request adds a line of JSON: name of the client, API key, version, and the outcome, which is
``OK`` or the name of the error of the whole request.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Awaitable
from inspect import isawaitable
from pathlib import Path
from typing import Any

from fluss_server.api.keys import ApiKey
from fluss_server.cli import local_servers
from fluss_server.cli.main import main
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.rpc.service import Handler, RequestContext, ServiceRegistry


class Recorder:
    """Wraps the methods of a registry."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1)
        self._clients: dict[str, str] = {}
        self._wrapped: dict[int, tuple[Handler, Handler]] = {}

    def handler(self, original: Handler | None) -> Handler | None:
        """The handler with its outcome written down."""
        if original is None:
            return None
        known, wrapped = self._wrapped.get(original.spec.key, (None, None))
        if known is not original or wrapped is None:
            wrapped = dataclasses.replace(original, method=self._method(original))
            self._wrapped[original.spec.key] = original, wrapped
        return wrapped

    def _method(self, original: Handler) -> Any:
        def started(request: Any, context: RequestContext) -> Any:
            if original.spec.key is ApiKey.API_VERSIONS:
                self._clients[context.peer] = request.client_software_name
            try:
                result = original.method(request, context)
            except Exception as error:
                self._note(context, error)
                raise
            if isawaitable(result):
                return finished(result, context)
            self._note(context, None)
            return result

        async def finished(result: Awaitable[Any], context: RequestContext) -> Any:
            try:
                body = await result
            except Exception as error:
                self._note(context, error)
                raise
            self._note(context, None)
            return body

        return started

    def _note(self, context: RequestContext, error: Exception | None) -> None:
        outcome = "OK"
        if error is not None:
            code = error.code if isinstance(error, FlussError) else ErrorCode.UNKNOWN_SERVER_ERROR
            outcome = code.name
        entry = [self._clients.get(context.peer), int(context.api_key), context.api_version, outcome]
        self._file.write(json.dumps(entry) + "\n")


if __name__ == "__main__":
    local_servers.PROGRAM = (sys.executable, *sys.argv[:2])  # type: ignore[assignment]
    recorder = Recorder(Path(sys.argv[1]))
    served = ServiceRegistry.get
    ServiceRegistry.get = lambda self, key: recorder.handler(served(self, key))  # type: ignore[method-assign]
    sys.exit(main(sys.argv[2:]))
