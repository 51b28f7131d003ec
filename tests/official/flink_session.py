"""SQL on a Flink cluster that has the official connector instead of ours."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import zipfile
from pathlib import Path
from types import TracebackType
from typing import Any

from flink.standalone_flink import PYFLINK_HOME, StandaloneFlink
from official.artifacts import JAVA, classpath, compiled

_CHILD = Path(__file__).with_name("flink_child.py")
_CALL_TIMEOUT_S = 120.0
_OURS = "flink-sql-connector-fluss-"
_ARTIFACT, _VERSION = "fluss-flink-2.2", "0.9.1-incubating"

Rows = list[list[Any]]


class FlinkError(Exception):
    """A statement that failed; the text is the chain of causes."""

    def __init__(self, text: str) -> None:
        lines = [line.strip() for line in text.splitlines()]
        super().__init__("\n".join(line for line in lines if not line.startswith(("at ", "... "))))


def official_lib(directory: Path) -> Path:
    """A directory of Flink's jars with the official connector, and the class that Flink 2.3 lacks for it."""
    directory.mkdir()
    for jar in (PYFLINK_HOME / "lib").glob("*.jar"):
        if not jar.name.startswith(_OURS):
            (directory / jar.name).symlink_to(jar)
    [connector] = [jar for jar in classpath(_ARTIFACT, _VERSION) if jar.name.startswith(_ARTIFACT)]
    (directory / connector.name).symlink_to(connector)
    classes = compiled("shim", [JAVA / "src" / "flink"], [])
    with zipfile.ZipFile(directory / "shim.jar", "w") as shim:
        for file in classes.rglob("*.class"):
            shim.write(file, file.relative_to(classes).as_posix())
    return directory


class FlinkSession:
    """A Flink cluster and a process that submits SQL to it; a context manager.

    Args:
        directory: for everything that Flink writes.
        servers: bootstrap servers of Fluss.
    """

    def __init__(self, directory: Path, servers: str) -> None:
        self._lib = official_lib(directory / "lib")
        self._servers = servers
        self._log = (directory / "session.log").open("w+")
        self._cluster = StandaloneFlink(directory / "cluster", slots=6, lib=self._lib)
        self._responses: queue.Queue[str | None] = queue.Queue()
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> FlinkSession:
        self._cluster.__enter__()
        environment = {
            **os.environ,
            "FLINK_HOME": str(PYFLINK_HOME),  # without it PyFlink looks for all directories itself
            "FLINK_LIB_DIR": str(self._lib),
            "JVM_ARGS": "-Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1",
        }
        self._process = subprocess.Popen(
            [sys.executable, str(_CHILD), str(self._cluster.rest_port), self._servers],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=environment,
        )
        threading.Thread(target=self._read, args=(self._process,), daemon=True).start()
        return self

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._responses.put(line)
        self._responses.put(None)

    def _call(self, request: dict[str, Any]) -> Any:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        try:
            line = self._responses.get(timeout=_CALL_TIMEOUT_S)
        except queue.Empty:
            self._process.kill()
            raise AssertionError(f"not answered within {_CALL_TIMEOUT_S} s: {request}") from None
        if line is None:
            self._log.seek(0)
            raise AssertionError(f"the session ended: {self._log.read()[-3000:]}")
        response = json.loads(line)
        if "error" in response:
            raise FlinkError(response["error"])
        return response["ok"]

    def batch(self, sql: str) -> Rows:
        """Run a statement to its end and return its rows as ``[kind, values...]``."""
        rows: Rows = self._call({"sql": sql, "batch": True, "rows": None, "background": False})
        return rows

    def stream(self, sql: str, rows: int | None = None) -> Rows:
        """Run a streaming statement until it has given ``rows`` rows (None: until it ends)."""
        found: Rows = self._call({"sql": sql, "batch": False, "rows": rows, "background": False})
        return found

    def start(self, sql: str) -> int:
        """Start a streaming statement; :meth:`cancel` ends it."""
        return int(self._call({"sql": sql, "batch": False, "rows": None, "background": True}))

    def cancel(self, number: int) -> None:
        """End a statement that :meth:`start` started."""
        self._call({"cancel": number})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # it has ended
                self._process.stdin.close()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._cluster.close()
        self._log.close()
