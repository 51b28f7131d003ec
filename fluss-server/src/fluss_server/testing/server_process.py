"""One server of this project as a child process: started, waited for, stopped, killed."""

from __future__ import annotations

import contextlib
import queue
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

_KEPT_LOG_LINES = 1_000


class ServerProcess:
    """A process that ends at the latest with the present one.

    Args:
        command: starts it, with ``--stop-at-end-of-input``.
        on_line: called with each line that it prints until it returns True: then the server is ready.
        running: where the process is kept while it runs; whoever has the list can end it.
        log: where the newest lines go.
        on_output: called, in another thread, with each line as long as it runs.
    """

    def __init__(
        self,
        command: Sequence[str],
        on_line: Callable[[str], bool],
        running: list[subprocess.Popen[str]] | None = None,
        log: deque[str] | None = None,
        on_output: Callable[[str], object] = lambda line: None,
    ) -> None:
        self._command = list(command)
        self._on_line = on_line
        self._on_output = on_output
        self._running = [] if running is None else running
        self._log = deque[str](maxlen=_KEPT_LOG_LINES) if log is None else log

    @property
    def is_running(self) -> bool:
        """Whether it was started, and not stopped since."""
        return bool(self._running)

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        assert self._running, "the server is not running"
        return self._running[0].pid

    @property
    def log(self) -> str:
        """The newest lines that it printed."""
        return "\n".join(self._log)

    def launch(self) -> queue.Queue[str | None]:
        """Start it; returns its lines as they come, None at their end. Give them to :meth:`wait_until_ready`."""
        if self._running:
            raise RuntimeError("the server is running already")
        # The server reads its input to the end. Only this process has the other end of the pipe, and keeps it open for
        # as long as it lives; when it is killed, the system closes it.
        process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._running.append(process)
        lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read_output, args=(process, lines), daemon=True).start()
        return lines

    def wait_until_ready(self, lines: queue.Queue[str | None], timeout_s: float) -> None:
        """Wait until it is ready.

        Raises:
            RuntimeError: when it ends, or is not ready in time; the message carries what it printed.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                line = lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                self.end(signal.SIGKILL, 30.0)
                raise RuntimeError(f"not ready within {timeout_s} s; it printed:\n{self.log}") from None
            if line is None:
                code = self.end(signal.SIGTERM, 30.0)
                raise RuntimeError(f"the server ended with code {code}; it printed:\n{self.log}")
            if self._on_line(line):
                return

    def start(self, timeout_s: float) -> None:
        """Start it and wait until it is ready; see :meth:`wait_until_ready`."""
        self.wait_until_ready(self.launch(), timeout_s)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; nothing happens when it has ended."""
        for process in self._running:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    def wait(self, timeout_s: float) -> int:
        """Wait until it ends by itself and return its exit code; ``subprocess.TimeoutExpired``."""
        assert self._running, "the server is not running"
        return self._running[0].wait(timeout_s)

    def end(self, how: signal.Signals, timeout_s: float) -> int:
        """End it with a signal and return its exit code; kills it if it does not end in time."""
        if not self._running:
            return 0
        process = self._running.pop()
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(how)
        try:
            return process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()
        finally:
            assert process.stdin is not None
            process.stdin.close()

    def _read_output(self, process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._log.append(line.rstrip("\n"))
            self._on_output(line.strip())
            lines.put(line.strip())
        lines.put(None)
