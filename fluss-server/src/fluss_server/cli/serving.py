"""What the commands that run a server have in common: options, the process around the event loop, signals."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from fluss_server import __version__
from fluss_server.cli.failures import UsageError
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.rpc.endpoints import Endpoint
from fluss_server.runtime import event_loop

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

# How long the KV thread may keep the event loop waiting when both have work; Python's default is 5 ms.
_SWITCH_INTERVAL_S = 0.001


class GivenOptions:
    """Server options of a configuration file and, before them, of ``--set``.

    Args:
        config: the file, None for none.
        settings: ``KEY=VALUE`` each.

    Attributes:
        values: by key.

    Raises:
        UsageError: the file cannot be read, or a setting has no value.
    """

    def __init__(self, config: Path | None, settings: Sequence[str]) -> None:
        self._config = config
        found: dict[str, tuple[str, int]] = {}
        if config is not None:
            from fluss_server.cli.server_yaml import parse_server_yaml

            try:
                found = parse_server_yaml(config.read_text(encoding="utf-8"), str(config))
            except (OSError, UnicodeDecodeError) as error:
                raise UsageError(f"cannot read {config}: {getattr(error, 'strerror', None) or error}") from None
        self.values = {key: value for key, (value, _) in found.items()}
        self._lines = {key: line for key, (_, line) in found.items()}
        for setting in settings:
            key, separator, value = setting.partition("=")
            if not separator:
                raise UsageError(f"option {setting!r} has no '='", hint="write KEY=VALUE")
            self.values[key.strip()] = value.strip()
            self._lines.pop(key.strip(), None)

    def take(self, key: str) -> str | None:
        """Remove an option that is not the server's but the command's."""
        return self.values.pop(key, None)

    def checked(self, make: Callable[[Mapping[str, str]], _T]) -> _T:
        """What ``make`` makes of the options; a bad one is reported with its place in the file.

        Raises:
            UsageError: an option is unknown or has a bad value.
        """
        try:
            return make(self.values)
        except FlussError as error:
            if error.code is not ErrorCode.INVALID_CONFIG_EXCEPTION:
                raise
            key = max((key for key in self._lines if key in error.message), key=len, default=None)
            place = "" if key is None else f"{self._config}, line {self._lines[key]}: "
            raise UsageError(f"{place}{error.message}", hint=error.hint) from None


def run_server(
    start: Callable[[], Coroutine[Any, Any, None]],
    stop: Callable[[], Coroutine[Any, Any, None]],
    ready: Callable[[], object],
    data_dir: Path,
    *,
    failed: Callable[[], asyncio.Future[FlussError] | None] = lambda: None,
    stop_at_end_of_input: bool,
) -> None:
    """Run a server until SIGTERM or SIGINT.

    Args:
        start: starts it.
        stop: stops it, whatever has been started.
        ready: says so.
        data_dir: for the log.
        failed: completes with why the server must stop by itself.
        stop_at_end_of_input: stop at the end of the standard input, too.

    Raises:
        FlussError: what ``start`` raises, and what ``failed`` completes with.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy would start a thread for each core, and never use them
    # gRPC's native library would print lines of its own about what is reported here as an error.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    logger.info(
        "fluss-server %s starts, Python %s, process %d, data directory %s",
        __version__,
        sys.version.split()[0],
        os.getpid(),
        data_dir.resolve(),
    )
    event_loop.run(_serve(start, stop, ready, failed, stop_at_end_of_input))
    logger.info("stopped")


async def _serve(
    start: Callable[[], Coroutine[Any, Any, None]],
    stop: Callable[[], Coroutine[Any, Any, None]],
    ready: Callable[[], object],
    failed: Callable[[], asyncio.Future[FlussError] | None],
    stop_at_end_of_input: bool,
) -> None:
    loop = asyncio.get_running_loop()
    stopping: asyncio.Future[None] = loop.create_future()

    def stop_on(reason: str) -> None:
        logger.info("stopping: %s", reason)
        if not stopping.done():
            stopping.set_result(None)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop_on, number.name)
    # The end of a terminal session is no reason to stop, and there is no configuration to be read again.
    loop.add_signal_handler(signal.SIGHUP, logger.info, "SIGHUP changes nothing")
    if stop_at_end_of_input:
        _at_end_of(sys.stdin.fileno(), lambda: stop_on("end of the standard input"))
    starting = asyncio.ensure_future(start())
    try:
        begun: list[asyncio.Future[Any]] = [starting, stopping]
        await asyncio.wait(begun, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():  # a tablet server may wait for its coordinator
            starting.cancel()
            await asyncio.wait([starting])
            return
        starting.result()
        gc.freeze()  # what is there now stays
        ready()
        failure = failed()
        ends: list[asyncio.Future[Any]] = [stopping] if failure is None else [stopping, failure]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if failure is not None and failure.done():
            raise failure.result()
    finally:
        await stop()


def address_text(endpoint: Endpoint) -> str:
    """``host:port``, an IPv6 address in []."""
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    return f"{host}:{endpoint.port}"


def _at_end_of(pipe: int, action: Callable[[], object]) -> None:
    """Do something when the last process has closed the other end of a pipe; what comes through it is dropped."""
    loop = asyncio.get_running_loop()

    def read() -> None:
        try:
            ended = not os.read(pipe, 4096)
        except OSError:  # a terminal that is gone; reading again would always fail
            ended = True
        if ended:
            loop.remove_reader(pipe)
            action()

    try:
        loop.add_reader(pipe, read)
    except OSError as error:  # an ordinary file
        raise FlussError(
            ErrorCode.INVALID_CONFIG_EXCEPTION,
            f"--stop-at-end-of-input: standard input cannot be watched: {error}",
            hint="give the server a pipe",
        ) from error
