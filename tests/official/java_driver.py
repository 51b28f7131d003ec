"""The official Java client, driven over standard input and output: see ``java/src/common/Driver.java``."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import tempfile
import threading
from types import TracebackType
from typing import Any

from official.artifacts import JAVA, classpath, compiled

VERSIONS = ("0.9.1-incubating", "1.0.0")
_CALL_TIMEOUT_S = 90.0
_JVM = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx512m", "--add-opens=java.base/java.nio=ALL-UNNAMED"]


class JavaError(Exception):
    """A call that failed.

    Attributes:
        code: official error code, -1 for exceptions that have none.
        kind: simple name of the exception's class.
        message: its text.
    """

    def __init__(self, code: int, kind: str, message: str) -> None:
        super().__init__(f"{kind} ({code}): {message}")
        self.code = code
        self.kind = kind
        self.message = message


class JavaDriver:
    """One JVM with one version of the client; a context manager."""

    def __init__(self, version: str) -> None:
        jars = classpath("fluss-client", version)
        later = "early" if version.startswith("0.") else "later"
        classes = compiled(f"driver-{version}", [JAVA / "src" / "common", JAVA / "src" / later], jars)
        self.version = version
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed by close()
        self._process = subprocess.Popen(
            ["java", *_JVM, "-cp", ":".join(map(str, [classes, *jars])), "Driver"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self._responses: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._responses.put(line)
        self._responses.put(None)

    def call(self, name: str, /, **arguments: Any) -> Any:
        """Run one call and return its result.

        Raises:
            JavaError: what the client threw.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"call": name, **arguments}) + "\n")
        self._process.stdin.flush()
        try:
            line = self._responses.get(timeout=_CALL_TIMEOUT_S)
        except queue.Empty:
            self._process.kill()
            raise AssertionError(f"{name} {arguments} was not answered within {_CALL_TIMEOUT_S} s") from None
        if line is None:
            self._log.seek(0)
            raise AssertionError(f"the JVM ended during {name}: {self._log.read()[-2000:]}")
        response = json.loads(line)
        if "error" in response:
            raise JavaError(response["error"]["code"], response["error"]["class"], response["error"]["message"])
        return response["ok"]

    def close(self) -> None:
        """End the JVM."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def __enter__(self) -> JavaDriver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
