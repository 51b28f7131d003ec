"""The ``fluss`` command as a process, for tests of a running server."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from fluss_server.testing import LocalCluster
from free_ports import free_ports


class Fluss:
    """The command, as a process.

    Args:
        cluster: server that it is to talk to.
        directory: in which it works.
    """

    def __init__(self, cluster: LocalCluster, directory: Path) -> None:
        self.environment = {**os.environ, "FLUSS_SERVER": f"127.0.0.1:{cluster.grpc_port}"}
        self.directory = directory

    def run(self, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run it to its end."""
        return subprocess.run(
            [sys.executable, "-m", "fluss_server", *arguments],
            env=self.environment,
            cwd=self.directory,
            input=stdin,
            capture_output=True,
            timeout=60,
            check=False,
        )

    def __call__(self, *arguments: str, code: int = 0, stdin: bytes | None = None) -> str:
        """What it printed, with its remarks when it is to fail."""
        result = self.run(*arguments, stdin=stdin or b"")
        assert result.returncode == code, result.stderr.decode()
        return (result.stdout if code == 0 else result.stdout + result.stderr).decode()

    def remark(self, *arguments: str, code: int = 0, stdin: bytes = b"") -> str:
        """What it said on standard error."""
        result = self.run(*arguments, stdin=stdin)
        assert result.returncode == code, result.stderr.decode()
        return result.stderr.decode().strip()

    def rows(self, *arguments: str) -> list[dict[str, object]]:
        """Its output as JSON."""
        return [json.loads(line) for line in self(*arguments, "--output", "json").splitlines()]

    def start(self, *arguments: str, stdin: int | None = None) -> subprocess.Popen[str]:
        """Let it run."""
        return subprocess.Popen(
            [sys.executable, "-m", "fluss_server", *arguments],
            env=self.environment,
            cwd=self.directory,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=default_interrupt,
        )


def default_interrupt() -> None:
    """Programs that a shell starts in the background ignore SIGINT, and so do their children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def read_until(process: subprocess.Popen[str], found: Callable[[str], bool]) -> str:
    """Standard error up to a line; whoever calls this gives the test a deadline by ending the process."""
    assert process.stderr is not None
    lines = ""
    for line in process.stderr:
        lines += line
        if found(line):
            return lines
    raise AssertionError(f"it ended with: {lines}")


@contextlib.contextmanager
def free_pair(directory: Path) -> Iterator[LocalCluster]:
    """A server whose gRPC port follows its native port."""
    with LocalCluster(directory, port=free_ports(2)[0], arguments=["--grpc-port", "next"]) as cluster:
        yield cluster
