"""A real Flink cluster for tests: a JobManager and TaskManagers as processes of their own, which can be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

import pyflink

from free_ports import free_port

PYFLINK_HOME = Path(pyflink.__file__).parent
START_DEADLINE_S = 120.0
HEARTBEAT_TIMEOUT_MS = 60_000
"""When a silent TaskManager counts as dead: long, because the machine may be busy.

A killed one refuses connections, which is noticed after two heartbeats.
"""

_ADD_OPENS = [
    f"--add-opens=java.base/{package}=ALL-UNNAMED"
    for package in (
        "java.lang",
        "java.lang.reflect",
        "java.net",
        "java.io",
        "java.nio",
        "java.text",
        "java.time",
        "java.util",
        "java.util.concurrent",
        "java.util.concurrent.atomic",
        "java.util.concurrent.locks",
        "sun.nio.ch",
    )
]
_JAVA = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", *_ADD_OPENS]
_TASK_MANAGER_MEMORY = {
    "taskmanager.cpu.cores": "2.0",
    "taskmanager.memory.task.heap.size": "384m",
    "taskmanager.memory.task.off-heap.size": "256m",
    "taskmanager.memory.framework.heap.size": "128m",
    "taskmanager.memory.framework.off-heap.size": "128m",
    "taskmanager.memory.jvm-metaspace.size": "256m",
    "taskmanager.memory.jvm-overhead.min": "192m",
    "taskmanager.memory.jvm-overhead.max": "192m",
    "taskmanager.memory.network.min": "96m",
    "taskmanager.memory.network.max": "96m",
    "taskmanager.memory.managed.size": "96m",
}


class StandaloneFlink:
    """One JobManager and one TaskManager on loopback.

    Args:
        directory: for configuration, logs and temporary files.
        slots: task slots of the TaskManager.
        lib: the jars of both; that of PyFlink when not given.
    """

    def __init__(self, directory: Path, slots: int = 4, lib: Path | None = None) -> None:
        self._directory = directory
        self._lib = lib or PYFLINK_HOME / "lib"
        self.rest_port = free_port()
        self._conf = directory / "conf"
        self._conf.mkdir(parents=True)
        options = {
            "jobmanager.rpc.address": "127.0.0.1",
            "jobmanager.rpc.port": str(free_port()),
            "jobmanager.bind-host": "127.0.0.1",
            "rest.address": "127.0.0.1",
            "rest.bind-address": "127.0.0.1",
            "rest.port": str(self.rest_port),
            "rest.bind-port": str(self.rest_port),
            "taskmanager.host": "127.0.0.1",
            "taskmanager.bind-host": "127.0.0.1",
            "taskmanager.numberOfTaskSlots": str(slots),
            "blob.server.port": "0",
            "heartbeat.interval": "500",
            "heartbeat.timeout": str(HEARTBEAT_TIMEOUT_MS),
            "execution.checkpointing.storage": "jobmanager",
            "io.tmp.dirs": str(directory / "tmp"),
            "web.submit.enable": "false",
        }
        (self._conf / "config.yaml").write_text("".join(f"{key}: '{value}'\n" for key, value in options.items()))
        (self._conf / "log4j.properties").write_text(
            "rootLogger.level = INFO\nrootLogger.appenderRef.console.ref = console\n"
            "appender.console.name = console\nappender.console.type = CONSOLE\n"
            "appender.console.layout.type = PatternLayout\nappender.console.layout.pattern = %d %p %c{1} - %m%n\n"
        )
        self._seen: set[str] = set()
        self._job_manager: subprocess.Popen[bytes] | None = None
        self._task_manager: subprocess.Popen[bytes] | None = None

    def _java(self, name: str, heap: str, main: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = ["java", f"-Xmx{heap}", *_JAVA, f"-Dlog4j.configurationFile={self._conf / 'log4j.properties'}"]
        command += ["-cp", f"{self._lib}/*", main, "--configDir", str(self._conf), *arguments]
        with open(self._directory / f"{name}.log", "ab") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)

    def __enter__(self) -> StandaloneFlink:
        try:
            self._job_manager = self._java(
                "jobmanager", "512m", "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
            )
            self.start_task_manager()
        except BaseException:
            self.close()
            raise
        return self

    def start_task_manager(self) -> None:
        """Start the TaskManager and wait until its slots are there."""
        assert self._task_manager is None
        arguments = [part for item in _TASK_MANAGER_MEMORY.items() for part in ("-D", "=".join(item))]
        self._task_manager = self._java(
            "taskmanager", "512m", "org.apache.flink.runtime.taskexecutor.TaskManagerRunner", *arguments
        )
        deadline = time.monotonic() + START_DEADLINE_S
        while True:
            # A killed TaskManager stays listed for some heartbeats, so wait for one that was not there before.
            response = self.get("/taskmanagers")
            listed = {str(entry["id"]) for entry in response["taskmanagers"]} if response else set()
            if listed - self._seen:
                self._seen |= listed
                return
            for process, name in ((self._job_manager, "jobmanager"), (self._task_manager, "taskmanager")):
                if process is None or process.poll() is not None:
                    raise RuntimeError(f"the {name} ended:\n{(self._directory / f'{name}.log').read_text()[-4000:]}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"no new TaskManager within {START_DEADLINE_S} s")
            time.sleep(0.1)

    def kill_task_manager(self) -> None:
        """SIGKILL the TaskManager."""
        assert self._task_manager is not None
        self._task_manager.send_signal(signal.SIGKILL)
        self._task_manager.wait()
        self._task_manager = None

    def get(self, path: str) -> dict[str, Any] | None:
        """An answer of the REST API, or None while the JobManager does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.rest_port}{path}", timeout=5) as response:
                parsed: dict[str, Any] = json.load(response)
                return parsed
        except OSError:
            return None

    def cancel(self, job: str) -> None:
        """Cancel a job."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.rest_port}/jobs/{job}?mode=cancel", method="PATCH")
        with urllib.request.urlopen(request, timeout=30):
            pass

    def close(self) -> None:
        """End both processes."""
        for process in (self._task_manager, self._job_manager):
            if process is not None:
                process.terminate()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        self._task_manager = self._job_manager = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def use_small_gateway() -> None:
    """Keep the JVM that PyFlink starts small; call before the first TableEnvironment."""
    os.environ.setdefault("JVM_ARGS", "-Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1")
