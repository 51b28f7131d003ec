"""Lookups by the official Java client, in a Java process of their own (``official/Lookups.java``)."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

# The programs of tools/ know where the jars are.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))
from official_jars import PROJECT, class_path

_CLASSES = PROJECT / "target" / "classes"
_JVM_OPTIONS = ("-XX:+IgnoreUnrecognizedVMOptions", "--add-opens=java.base/java.nio=ALL-UNNAMED", "-Xmx1g")


@dataclass(frozen=True, slots=True)
class Lookups:
    """What a measurement found: lookups made, seconds they took, latencies in ms."""

    count: int
    seconds: float
    p50_ms: float
    p99_ms: float


class JavaLookups:
    """A running Java client; one for all servers, so that its compiled code is as warm for each of them."""

    def __enter__(self) -> JavaLookups:
        jars = class_path("client")
        _CLASSES.mkdir(parents=True, exist_ok=True)
        compiler = ["javac", "-nowarn", "-cp", jars, "-d", str(_CLASSES), str(PROJECT / "Lookups.java")]
        subprocess.run(compiler, check=True, timeout=120)
        command = ["java", *_JVM_OPTIONS, "-cp", f"{_CLASSES}:{jars}", "Lookups"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def measure(self, bootstrap: str, table: str, keys: int, in_flight: int, seconds: float) -> Lookups:
        """Look up keys below ``keys`` of a table of the database ``fluss``, ``in_flight`` at a time, for ``seconds``.

        Raises:
            RuntimeError: when the Java process ended; it has printed why.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{bootstrap} fluss {table} {keys} {in_flight} {int(seconds * 1000)}\n")
        self._process.stdin.flush()
        response = self._process.stdout.readline().split()
        if len(response) != 4:
            raise RuntimeError("the Java client failed")
        count, took, p50_us, p99_us = response
        return Lookups(int(count), float(took), float(p50_us) / 1000, float(p99_us) / 1000)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
