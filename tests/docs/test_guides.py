"""The guides work as they are written: pytest, the service, backup and restore, listeners, the quickstart."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import Empty, Queue

import pytest

from doc_examples import README_SERVER, example
from fluss_server.testing import LocalCluster
from free_ports import free_ports

DEADLINE_S = 120.0
PYTEST_GUIDE = "docs/guides/pytest.md"
BACKUP_GUIDE = "docs/guides/backup.md"
QUICKSTART = "docs/quickstart.md"
CLUSTER_GUIDE = "docs/guides/cluster.md"


@pytest.fixture
def shell(tmp_path: Path) -> dict[str, str]:
    """An environment in which ``fluss`` is the command under test."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "fluss").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m fluss_server "$@"\n')
    (programs / "fluss").chmod(0o755)
    return {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}


def run(script: str, directory: Path, environment: dict[str, str]) -> str:
    result = subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


class Output:
    """Lines of a process, which can be waited for."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self._stream = process.stdout
        self._lines: Queue[str | None] = Queue()
        self.seen: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self._stream:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The first further line in which ``pattern`` is found."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                line = None
            assert line is not None, f"no {pattern!r} in\n" + "\n".join(self.seen)
            self.seen.append(line)
            if found := re.search(pattern, line):
                return found


@contextmanager
def started(
    command: list[str], directory: Path, environment: dict[str, str]
) -> Iterator[tuple[Output, subprocess.Popen[str]]]:
    process = subprocess.Popen(
        command, cwd=directory, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield Output(process), process
    finally:
        process.kill()
        process.wait()


def with_free_ports(text: str, ports: Sequence[int]) -> str:
    """The text with these ports in place of the first ones after 9123."""
    return re.sub(r"\b912[3-9]\b", lambda written: str(ports[int(written[0]) - 9123]), text)


# ---------------------------------------------------------------------- pytest


def test_pytest_guide(tmp_path: Path) -> None:
    for name in ("pytest-fixture", "pytest-tablet-servers", "pytest-cluster"):
        (tmp_path / f"test_{name.replace('-', '_')}.py").write_text(example(name, PYTEST_GUIDE))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert "3 passed" in result.stdout, result.stdout + result.stderr
    # pyfluss 1.0.0 sometimes aborts while the interpreter ends, after everything is done and printed.
    assert result.returncode in (0, -signal.SIGABRT)


# ---------------------------------------------------------------------- service


def test_the_unit_starts_a_server_that_stops_with_code_0(tmp_path: Path, shell: dict[str, str]) -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(example("service-unit", "docs/guides/service.md"))
    service = unit["Service"]
    program, *arguments = shlex.split(service["ExecStart"])
    assert program == "/opt/fluss/bin/fluss"
    assert arguments[arguments.index("--data-dir") + 1].startswith(f"/var/lib/{service['StateDirectory']}/")
    arguments[arguments.index("--data-dir") + 1] = str(tmp_path / "data")
    port, grpc_port, metrics_port = free_ports(3)
    arguments += ["--port", str(port), "--grpc-port", str(grpc_port)]
    arguments += ["--set", f"metrics.reporter.prometheus.port={metrics_port}"]
    with started(["fluss", *arguments], tmp_path, shell) as (output, process):
        output.wait_for("In Flink SQL:")
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0


# ---------------------------------------------------------------------- backup


def test_a_backup_is_restored(tmp_path: Path, shell: dict[str, str]) -> None:
    data = tmp_path / "fluss-data"

    def with_server(script: str) -> str:
        with LocalCluster(data, grpc=True) as cluster:
            return run(script, tmp_path, {**shell, "FLUSS_SERVER": f"127.0.0.1:{cluster.grpc_port}"})

    with_server(
        'fluss create-table "CREATE TABLE fluss.t (id INT NOT NULL, v STRING, PRIMARY KEY (id) NOT ENFORCED)"\n'
        """echo '{"id": 1, "v": "kept"}' | fluss put fluss.t -"""
    )
    run(example("backup", BACKUP_GUIDE), tmp_path, shell)
    with_server("""echo '{"id": 1, "v": "lost"}' | fluss put fluss.t -""")
    *restore, last = example("restore", BACKUP_GUIDE).strip().splitlines()
    assert last == "fluss local"
    run("\n".join(restore), tmp_path, shell)
    assert "kept" in with_server("fluss get fluss.t id=1")


# ---------------------------------------------------------------------- security


def test_two_listeners(tmp_path: Path, shell: dict[str, str]) -> None:
    command = example("listeners", "docs/security.md").strip()
    assert "export" not in command
    assert all(port in command for port in ("9123", "9124", "9125"))
    command = with_free_ports(command, free_ports(3))
    environment = {**shell, "FLUSS_USERS": "bob:bob-secret"}
    with started([*shlex.split(command), "--data-dir", "data"], tmp_path, environment) as (output, _):
        output.wait_for("Listener CLIENT: bootstrap.servers=")
        output.wait_for("In Flink SQL:")


# ---------------------------------------------------------------------- quickstart


@pytest.mark.flink
@pytest.mark.slow
def test_quickstart(tmp_path: Path, shell: dict[str, str]) -> None:
    with LocalCluster(grpc=True) as cluster:
        environment = {**shell, "FLUSS_SERVER": f"127.0.0.1:{cluster.grpc_port}"}
        run(example("quickstart-table", QUICKSTART), tmp_path, environment)
        query = example("quickstart-query", QUICKSTART)
        assert README_SERVER in query
        (tmp_path / "clicks.py").write_text(query.replace(README_SERVER, cluster.bootstrap_servers))
        with started([sys.executable, "-u", "clicks.py"], tmp_path, environment) as (output, _):
            run(example("quickstart-insert", QUICKSTART), tmp_path, environment)
            page = (Path(__file__).resolve().parents[2] / QUICKSTART).read_text()
            shown = [line for line in page.splitlines() if re.match(r"\| [+-][IU] \| +/home ", line)]
            assert len(shown) == 3
            for line in shown:
                output.wait_for(re.escape(line))
            run(example("quickstart-insert", QUICKSTART), tmp_path, environment)
            output.wait_for(r"\| \+U \| +/home \| +4 \|")


def test_the_cluster_guide(tmp_path: Path, shell: dict[str, str]) -> None:
    ports = free_ports(3)
    with ExitStack() as running:
        for line in with_free_ports(example("cluster", CLUSTER_GUIDE), ports).strip().splitlines():
            command = shlex.split(line.removesuffix("&"))
            output, process = running.enter_context(started(command, tmp_path, shell))
            output.wait_for(" is ready: bootstrap.servers=")
            running.callback(process.terminate)
        client = with_free_ports(example("cluster-client", CLUSTER_GUIDE), ports)
        printed = run(f"{shlex.quote(sys.executable)} - <<'CODE'\n{client}\nCODE", tmp_path, shell)
    assert printed.strip() == "{'id': 1, 'name': 'Ada'}"


def test_a_cluster_with_one_command(tmp_path: Path, shell: dict[str, str]) -> None:
    command = [*shlex.split(example("cluster-local", CLUSTER_GUIDE)), "--port", "0"]
    with started(command, tmp_path, shell) as (output, process):
        for number in range(3):
            output.wait_for(rf"^Tablet server {number}: 127\.0\.0\.1:\d+, process \d+$")
        output.wait_for(r"^Fluss is ready: bootstrap\.servers=127\.0\.0\.1:\d+$")
        process.terminate()
        assert process.wait(DEADLINE_S) == 0
    assert sorted(path.name for path in (tmp_path / "fluss-data").iterdir() if path.is_dir()) == [
        "coordinator",
        "server-0",
        "server-1",
        "server-2",
    ]
