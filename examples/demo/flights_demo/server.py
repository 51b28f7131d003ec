"""Runs `fluss local` for the time of the demo."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType

import psutil

from .waiting import DemoError

_READY = re.compile(r"Fluss is ready: bootstrap\.servers=(\S+)")
_START_SECONDS = 30.0
_STOP_SECONDS = 30.0


class LocalFluss:
    """A `fluss local` process on a free port, stopped when the block ends, however it ends."""

    def __init__(self, data_directory: Path, log_file: Path) -> None:
        self._data_directory = data_directory
        self._log_file = log_file
        self._ready = threading.Event()
        self._exited = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self.bootstrap_servers = ""

    def __enter__(self) -> LocalFluss:
        program = Path(sys.executable).with_name("fluss")
        if not program.exists():
            raise DemoError(f"{program} does not exist: install ./fluss-server into this environment")
        command = [str(program), "local", "--port", "0", "--data-dir", str(self._data_directory)]
        # A session of its own: Ctrl-C in the terminal reaches the demo, which then stops the server in order.
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        threading.Thread(target=self._copy_output, args=(self._process,), daemon=True).start()
        try:
            if not self._ready.wait(_START_SECONDS) or not self.bootstrap_servers:
                raise DemoError(f"`{' '.join(command)}` did not become ready: {self._last_line()}")
        except BaseException:
            self._stop()
            raise
        return self

    def _copy_output(self, process: subprocess.Popen[str]) -> None:
        """Keeps the server's output in the log file, and the pipe empty, until the server ends."""
        assert process.stdout is not None
        with self._log_file.open("w", encoding="utf-8") as log:
            for line in process.stdout:
                log.write(line)
                log.flush()
                match = _READY.search(line)
                if match and not self._ready.is_set():
                    self.bootstrap_servers = match[1]
                    self._ready.set()
        self._exited.set()
        self._ready.set()  # wakes a start that would wait in vain

    def _last_line(self) -> str:
        lines = self._log_file.read_text(encoding="utf-8").splitlines() if self._log_file.exists() else []
        return lines[-1] if lines else "it printed nothing"

    def check(self) -> None:
        """Raises DemoError when the server has ended by itself."""
        if self._exited.is_set():
            assert self._process is not None
            raise DemoError(f"the server has ended by itself (exit code {self._process.wait(_STOP_SECONDS)})")

    def usage(self) -> str:
        """Returns the CPU time and memory of the server so far, for people."""
        assert self._process is not None
        process = psutil.Process(self._process.pid)
        times = process.cpu_times()
        return f"{times.user + times.system:.0f} s CPU, {process.memory_info().rss / 1e6:.0f} MB"

    def _stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            print(f"warning: the server did not stop within {_STOP_SECONDS:.0f} s and was killed", file=sys.stderr)
            self._process.kill()
            self._process.wait(_STOP_SECONDS)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()
