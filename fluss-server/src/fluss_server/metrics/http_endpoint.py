"""``/metrics`` and ``/health`` over HTTP: as much of the protocol as scrapers and probes use.

One request a connection, ``GET`` only, at most :data:`MAX_CONNECTIONS` at a time, all of it within :data:`LIMIT_S`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metrics.samples import Rates, Sample, Source
from fluss_server.runtime.network import NetworkServer
from fluss_server.runtime.runtime import Runtime
from fluss_server.runtime.waits import wait_at_most

logger = logging.getLogger(__name__)

MAX_CONNECTIONS = 16
MAX_REQUEST_BYTES = 8192
LIMIT_S = 10.0

_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}
_JSON = "application/json"


class HttpEndpoint:
    """Serves the metrics of some sources.

    Args:
        sources: called, on the event loop, for every scrape.
        health: what ``/health`` shows; the key ``ready`` decides between 200 and 503.
        host: address to listen on.
        ports: the first free one is taken.
        constant_labels: for every value.
        runtime: clock, network and worker threads.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        health: Callable[[], Mapping[str, object]],
        host: str,
        ports: Sequence[int],
        constant_labels: Mapping[str, str],
        runtime: Runtime,
    ) -> None:
        self._sources = sources
        self._health = health
        self._host = host
        self._ports = ports
        self._constant_labels = constant_labels
        self._rates = Rates(runtime.clock.monotonic)
        self._network = runtime.network
        self._workers = runtime.workers.pool("metrics", 1)
        self._server: NetworkServer | None = None
        self._connections = 0

    @property
    def address(self) -> str:
        """``host:port`` in use, once started."""
        assert self._server is not None, "the endpoint is not started"
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{host}:{self._server.port}"

    async def start(self) -> None:
        """Listen.

        Raises:
            FlussError: ``NETWORK_EXCEPTION`` when none of the ports is free.
        """
        for port in self._ports:
            try:
                self._server = await self._network.listen(self._host, port, self._protocol)
                await self._server.start()
                return
            except OSError as error:
                if self._server is not None:
                    self._server.close()
                    self._server = None
                if error.errno != errno.EADDRINUSE or port == self._ports[-1]:
                    raise FlussError(
                        ErrorCode.NETWORK_EXCEPTION,
                        f"metrics cannot be served on {self._host}:{port}: {error.strerror or error}",
                        hint="choose another port with metrics.reporter.prometheus.port; a range is possible",
                    ) from error

    async def close(self) -> None:
        """Stop listening."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
            self._workers.close()

    def _protocol(self) -> asyncio.BaseProtocol:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=MAX_REQUEST_BYTES, loop=loop)
        return asyncio.StreamReaderProtocol(reader, self._serve, loop=loop)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            if self._connections <= MAX_CONNECTIONS:
                await wait_at_most(self._respond(reader, writer), LIMIT_S)
        except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            logger.debug("a scraper went away: %r", error)
        except Exception:
            logger.exception("the metrics could not be shown")
        finally:
            self._connections -= 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _respond(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        words = head.split(b"\r\n", 1)[0].split()
        if len(words) != 3 or not words[2].startswith(b"HTTP/"):
            status, kind, body = 400, _JSON, b"{}\n"
        elif words[0] not in (b"GET", b"HEAD"):
            status, kind, body = 405, _JSON, b"{}\n"
        else:
            status, kind, body = await self._page(words[1].split(b"?", 1)[0])
        lines = [f"HTTP/1.1 {status} {_REASONS[status]}", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
        writer.write("\r\n".join([*lines, "Connection: close", "", ""]).encode())
        if words[:1] != [b"HEAD"]:
            writer.write(body)
        await writer.drain()

    async def _page(self, path: bytes) -> tuple[int, str, bytes]:
        if path == b"/metrics":
            from fluss_server.metrics.exposition import CONTENT_TYPE, render

            samples = list(self._collect())
            rates = self._rates.rates(samples)
            # In a thread: for thousands of values it takes longer than a request should have to wait.
            body = await self._workers.run(render, samples, rates, self._constant_labels)
            return 200, CONTENT_TYPE, body
        if path == b"/health":
            health = self._health()
            return 200 if health["ready"] else 503, _JSON, json.dumps(health).encode() + b"\n"
        return 404, _JSON, b'{"pages": ["/metrics", "/health"]}\n'

    def _collect(self) -> Iterable[Sample]:
        for source in self._sources:
            yield from source()


def parse_ports(text: str) -> range:
    """Ports of ``9249`` or ``9249-9259``.

    Raises:
        FlussError: ``INVALID_CONFIG_EXCEPTION``.
    """
    first, dash, last = text.partition("-")
    try:
        ports = range(int(first), int(last if dash else first) + 1)
    except ValueError:
        ports = range(0)
    if not ports or ports[-1] > 65535 or ports[0] < 0:
        raise FlussError(
            ErrorCode.INVALID_CONFIG_EXCEPTION,
            f"metrics.reporter.prometheus.port: {text!r} is not a port or a range of ports",
            hint="write 9249, or 9249-9259",
        )
    return ports
