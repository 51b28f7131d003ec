"""A real ZooKeeper for tests: one server on a free loopback port, in a directory of its own; Maven fetches its jars."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

from fluss_server.metadata.zookeeper.settings import ZooKeeperSettings
from free_ports import free_port

sys.path.append(str(Path(__file__).resolve().parents[1] / "tools"))

from official_jars import class_path

_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 20.0
_TICK_MS = 200
_MAIN = "org.apache.zookeeper.server.ZooKeeperServerMain"
_JVM = ("-Xmx96m", "-Xss512k", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dzookeeper.extendedTypesEnabled=true")


def official_class_path(profile: str) -> str:
    """Class path of ``zookeeper``, or of the official ``server``, which has Curator in it."""
    return class_path(profile)


class ZooKeeperServer:
    """Sessions of 0.4 s and more are possible: it ticks ten times as often as by default.

    Attributes:
        port: on 127.0.0.1; it stays the same through restarts.
    """

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="zookeeper-"))
        self._class_path = class_path("zookeeper")
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Of the server's process."""
        assert self._process is not None, "the server runs"
        return self._process.pid

    def settings(self, root: str, session_timeout_s: float = 10.0) -> ZooKeeperSettings:
        """How to connect, with short pauses."""
        return ZooKeeperSettings(
            self.address, root, session_timeout_s=session_timeout_s, connection_timeout_s=30.0, retry_wait_s=0.2
        )

    def start(self) -> ZooKeeperServer:
        """Start it and wait until it responds; with the data that it had."""
        assert self._process is None, "the server is stopped"
        configuration = self._directory / "zoo.cfg"
        configuration.write_text(
            f"tickTime={_TICK_MS}\ndataDir={self._directory}/data\nclientPort={self.port}\n"
            "clientPortAddress=127.0.0.1\nmaxClientCnxns=0\nadmin.enableServer=false\n"
            f"minSessionTimeout={2 * _TICK_MS}\nmaxSessionTimeout=60000\n4lw.commands.whitelist=srvr\n"
        )
        logging = self._directory / "log4j2.properties"
        log = self._directory / "log"
        command = ["java", *_JVM, f"-Dlog4j.configurationFile={logging}", "-cp", self._class_path, _MAIN]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*command, str(configuration)], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            if self._responds():
                return self
            time.sleep(0.05)
        text = log.read_text(errors="replace")
        self.close()
        raise RuntimeError(f"ZooKeeper did not start; it printed:\n{text[-4000:]}")

    def _responds(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as connection:
            connection.sendall(b"srvr")
            return b"Mode: standalone" in connection.recv(65536)
        return False

    def stop(self) -> None:
        """Stop it like a power switch: what it has acknowledged is on disk."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(_STOP_TIMEOUT_S)

    def restart(self) -> None:
        """:meth:`stop` and :meth:`start`."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """It stands still and keeps its connections."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """Stop it and remove its directory."""
        self.stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> ZooKeeperServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
