"""``fluss local`` as a child process that tests start, stop, kill and start again."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import weakref
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from fluss_server.testing.server_process import ServerProcess

READY_PREFIX = "Fluss is ready: bootstrap.servers="
GRPC_PREFIX = "gRPC, for the fluss command"
LAST_PREFIX = "In Flink SQL:"
_TABLET_SERVER = re.compile(r"Tablet server (\d+): \S+, process (\d+)")
_KEPT_LOG_LINES = 1_000

TABLET_SERVERS_VARIABLE = "FLUSS_TABLET_SERVERS"
REPLICATION_FACTOR_VARIABLE = "FLUSS_REPLICATION_FACTOR"


class LocalCluster:
    """A server on a free loopback port, in a process of its own, which ends at the latest with the present one.

    With ``tablet_servers`` of 2 or more there are as many processes more. One of them that is killed is started again.

    The environment variable ``FLUSS_TABLET_SERVERS`` is the number for clusters that do not say one, and
    ``FLUSS_REPLICATION_FACTOR`` the ``default.replication.factor`` of those that have so many: a test suite can run on
    a cluster without a change.

    Args:
        data_dir: where the data lives; None = a temporary directory, which :meth:`stop` removes, or at the latest the
            end of this process. :meth:`restart`, or :meth:`kill` and :meth:`start`, keep it.
        port: 0 = a free one. A restart keeps the port of the first start, so that clients find the server again.
        tablet_servers: 1 = everything in one process; None = what the environment says, else 1.
        grpc: serve gRPC as well, on a free port.
        options: server options, as ``fluss local --set key=value`` takes them.
        arguments: further ones of ``fluss local``.
        ready_timeout_s: how long a start may take.

    Attributes:
        data_dir: the directory in use.
        port: port in use once started.
        grpc_port: port of gRPC once started, None without it.
        tablet_servers: how many there are.
    """

    def __init__(
        self,
        data_dir: str | os.PathLike[str] | None = None,
        *,
        port: int = 0,
        tablet_servers: int | None = None,
        grpc: bool = False,
        options: dict[str, str] | None = None,
        arguments: Sequence[str] = (),
        ready_timeout_s: float = 30.0,
    ) -> None:
        self.data_dir = Path(tempfile.mkdtemp(prefix="fluss-")) if data_dir is None else Path(data_dir)
        self._is_temporary = data_dir is None
        self.port = port
        self.grpc_port: int | None = 0 if grpc else None
        self.tablet_servers = tablet_servers or int(os.environ.get(TABLET_SERVERS_VARIABLE, "1"))
        self._options = dict(options or {})
        if self.tablet_servers > 1 and (factor := os.environ.get(REPLICATION_FACTOR_VARIABLE)) is not None:
            self._options.setdefault("default.replication.factor", factor)
        self._arguments = list(arguments)
        self._ready_timeout_s = ready_timeout_s
        self._server: ServerProcess | None = None
        self._processes: list[subprocess.Popen[str]] = []  # the running one, or none
        self._tablet_server_pids: dict[int, int] = {}
        if self._is_temporary:
            weakref.finalize(self, _discard, self._processes, self._tablet_server_pids, self.data_dir)
        self._log: deque[str] = deque(maxlen=_KEPT_LOG_LINES)

    @property
    def bootstrap_servers(self) -> str:
        """``host:port`` for clients."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Process id of the running server; of the coordinator when tablet servers are in processes of their own."""
        assert self._processes, "the cluster is not running"
        return self._processes[0].pid

    @property
    def tablet_server_pids(self) -> dict[int, int]:
        """Process ids of tablet servers in processes of their own, by server id; one that was killed gets another."""
        return dict(self._tablet_server_pids)

    @property
    def log(self) -> str:
        """The newest lines that the server printed."""
        return "\n".join(self._log)

    def start(self) -> LocalCluster:
        """Start the server and wait until it is ready.

        Raises:
            RuntimeError: when it ends, or is not ready in time; the message carries what it printed.
        """
        self._tablet_server_pids.clear()
        self._server = ServerProcess(
            self._command(), self._is_ready, self._processes, self._log, on_output=self._note_tablet_server
        )
        self._server.start(self._ready_timeout_s)
        return self

    def _is_ready(self, line: str) -> bool:
        if line.startswith(READY_PREFIX):
            self.port = int(line.rsplit(":", 1)[1])
        elif line.startswith(GRPC_PREFIX):
            self.grpc_port = int(line.rsplit(":", 1)[1])
        return line.startswith(LAST_PREFIX)

    def _note_tablet_server(self, line: str) -> None:
        if (match := _TABLET_SERVER.fullmatch(line)) is not None:
            self._tablet_server_pids[int(match[1])] = int(match[2])

    def _command(self) -> list[str]:
        command = [sys.executable, "-m", "fluss_server", "local", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--grpc-port", "none" if self.grpc_port is None else str(self.grpc_port)]
        command += ["--data-dir", str(self.data_dir), "--stop-at-end-of-input"]
        if self.tablet_servers > 1:
            command += ["--tablet-servers", str(self.tablet_servers), "--tablet-server-port", "0"]
        for key, value in self._options.items():
            command += ["--set", f"{key}={value}"]
        command += self._arguments
        return command

    def stop(self, timeout_s: float = 30.0) -> int:
        """Stop cleanly (SIGTERM) and return the exit code; kills the server if it does not end in time.

        A temporary directory is removed; :meth:`start` then begins with an empty one.
        """
        code = self._end(signal.SIGTERM, timeout_s)
        if self._is_temporary:
            shutil.rmtree(self.data_dir, ignore_errors=True)
        return code

    def kill(self) -> int:
        """End all processes at once (SIGKILL), as a crash of the machine would."""
        if self._processes:
            _kill_tablet_servers(self._processes[0], self._tablet_server_pids)
        return self._end(signal.SIGKILL, 30.0)

    def _end(self, how: signal.Signals, timeout_s: float) -> int:
        return 0 if self._server is None else self._server.end(how, timeout_s)

    def restart(self) -> LocalCluster:
        """Stop cleanly and start again on the same data and port."""
        self._end(signal.SIGTERM, 30.0)
        return self.start()

    def __enter__(self) -> LocalCluster:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def _kill_tablet_servers(process: subprocess.Popen[str], pids: dict[int, int]) -> None:
    """Kill the children of a server; it is stopped first, so that it starts none again and their ids stay theirs."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGSTOP)
    if process.poll() is None:
        for pid in pids.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _discard(processes: list[subprocess.Popen[str]], tablet_server_pids: dict[int, int], directory: Path) -> None:
    """End what was left running, and remove its data."""
    for process in processes:
        _kill_tablet_servers(process, tablet_server_pids)
        process.kill()
        process.wait()
    shutil.rmtree(directory, ignore_errors=True)
