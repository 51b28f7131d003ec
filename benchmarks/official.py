"""The official server 0.9.1-incubating, with the ZooKeeper it needs, as child processes; its jars come from Maven."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

# The programs of tools/ know where the jars are, those of tests/ which ports are free.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from official_jars import class_path

from free_ports import free_ports

_PORT_TIMEOUT_S = 60.0
COORDINATOR = "org.apache.fluss.server.coordinator.CoordinatorServer"
TABLET_SERVER = "org.apache.fluss.server.tablet.TabletServer"
_JVM_OPTIONS = (
    "-XX:+UseG1GC",
    "--add-opens=java.base/java.nio=org.apache.arrow.memory.core,ALL-UNNAMED",
    "-XX:+IgnoreUnrecognizedVMOptions",
)


class OfficialCluster:
    """ZooKeeper, coordinator and tablet servers on free loopback ports.

    Args:
        directory: for data, configuration and logs; removed by :meth:`stop`.
        options: more lines of ``server.yaml``, for coordinator and tablet servers.
        tablet_servers: how many.
        zookeeper: address of one that runs already; None = one of its own.

    Attributes:
        pids: of the processes that it has started.
    """

    def __init__(
        self,
        directory: Path,
        options: Mapping[str, str] | None = None,
        *,
        tablet_servers: int = 1,
        zookeeper: str | None = None,
    ) -> None:
        self._directory = directory
        self._options = dict(options or {})
        self._tablet_servers = tablet_servers
        self._zookeeper = zookeeper
        self._processes: list[subprocess.Popen[bytes]] = []
        self._port = 0
        self._class_paths = {profile: class_path(profile) for profile in ("zookeeper", "server")}

    @property
    def bootstrap_servers(self) -> str:
        """``host:port`` of the coordinator, for clients."""
        return f"127.0.0.1:{self._port}"

    @property
    def pids(self) -> list[int]:
        """Process ids: its own ZooKeeper if it has one, coordinator, tablet servers."""
        return [process.pid for process in self._processes]

    def start(self) -> OfficialCluster:
        """Start all of them, each as soon as the one before listens.

        Raises:
            RuntimeError: when one ends, or does not listen in time.
        """
        zookeeper_port, self._port, *tablet_ports = free_ports(2 + self._tablet_servers)
        zookeeper = self._zookeeper
        if zookeeper is None:
            zookeeper = f"127.0.0.1:{zookeeper_port}"
            self._start_zookeeper(zookeeper_port)
        options = {
            "zookeeper.address": zookeeper,
            "default.bucket.number": "1",
            "default.replication.factor": "1",
            "remote.data.dir": f"{self._directory}/remote",
            **self._options,
        }
        shared = "".join(f"{key}: {value}\n" for key, value in options.items())
        coordinator = self._directory / "coordinator"
        self._write(coordinator / "server.yaml", f"{shared}bind.listeners: FLUSS://127.0.0.1:{self._port}\n")
        self._run("server", [COORDINATOR, "--configDir", str(coordinator)])
        self._wait_for(self._port)
        for number, port in enumerate(tablet_ports):
            tablet = self._directory / f"tablet-{number}"
            own = f"tablet-server.id: {number}\ndata.dir: {self._directory}/data-{number}\n"
            self._write(tablet / "server.yaml", f"{shared}bind.listeners: FLUSS://127.0.0.1:{port}\n{own}")
            self._run("server", [TABLET_SERVER, "--configDir", str(tablet)])
            self._wait_for(port)
        return self

    def _start_zookeeper(self, port: int) -> None:
        configuration = self._directory / "zoo.cfg"
        self._write(
            configuration,
            f"tickTime=2000\ndataDir={self._directory}/zookeeper\nclientPort={port}\n"
            "clientPortAddress=127.0.0.1\nmaxClientCnxns=0\nadmin.enableServer=false\n",
        )
        self._run("zookeeper", ["org.apache.zookeeper.server.quorum.QuorumPeerMain", str(configuration)])
        self._wait_for(port)

    def _write(self, path: Path, content: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    def _run(self, profile: str, arguments: list[str]) -> None:
        log = self._directory / f"{len(self._processes)}.log"
        command = java_command(arguments[0], arguments[1:], self._class_paths[profile], self._directory)
        with log.open("ab") as output:
            self._processes.append(
                subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
            )

    def _wait_for(self, port: int) -> None:
        deadline = time.monotonic() + _PORT_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._processes[-1].poll() is not None:
                break
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            time.sleep(0.02)
        log = (self._directory / f"{len(self._processes) - 1}.log").read_text(errors="replace")
        self.stop()
        raise RuntimeError(f"a server of the official cluster did not start; it printed:\n{log[-4000:]}")

    def stop(self) -> None:
        """Stop the processes that :meth:`start` started, newest first, and remove the directory."""
        while self._processes:
            process = self._processes.pop()
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> OfficialCluster:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def java_command(main: str, arguments: Sequence[str], class_path: str, directory: Path) -> list[str]:
    """What starts a Java program that prints warnings and errors.

    Args:
        main: class, for example :data:`COORDINATOR`.
        arguments: of the program.
        class_path: of the jars.
        directory: for its log and the configuration of that.
    """
    configuration = directory / "log4j2.properties"
    configuration.write_text(_LOG4J)
    options = [f"-Dlog.file={directory}/java.log", f"-Dlog4j.configurationFile={configuration.as_uri()}"]
    return ["java", *_JVM_OPTIONS, *options, "-cp", class_path, main, *arguments]


_LOG4J = """\
rootLogger.level = WARN
rootLogger.appenderRef.file.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d %-5p %c %m%n%ex
"""
