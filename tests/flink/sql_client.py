"""`sql-client.sh -f` of a plain Flink, started as a user starts it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from flink.standalone_flink import StandaloneFlink
from waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 300


def plain_flink(version: str) -> Path:
    """The home directory of a Flink of this version with the connector in its `lib/`."""
    command = [sys.executable, str(ROOT / "tools" / "plain_flink.py"), version]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return Path(done.stdout.strip().splitlines()[-1])


def _without_pyflink(environment: Mapping[str, str]) -> dict[str, str]:
    """PyFlink, once used in this process, names its own directories in FLINK_*; the scripts would take its jars."""
    return {name: value for name, value in environment.items() if not name.startswith("FLINK_")}


class SqlClient:
    """The SQL client of a running cluster."""

    def __init__(self, home: Path, cluster: StandaloneFlink, directory: Path) -> None:
        self._home = home
        self._directory = directory
        configuration = directory / "conf"
        configuration.mkdir()
        (configuration / "config.yaml").write_text(f"rest.address: 127.0.0.1\nrest.port: {cluster.rest_port}\n")
        (configuration / "log4j-cli.properties").write_text("rootLogger.level = OFF\n")
        self._environment = _without_pyflink(os.environ) | {
            "FLINK_CONF_DIR": str(configuration),
            "FLINK_LOG_DIR": str(directory),
            "JVM_ARGS": "-Xmx384m -XX:+UseSerialGC -XX:TieredStopAtLevel=1",
        }

    def _command(self, name: str, sql: str) -> list[str]:
        script = self._directory / f"{name}.sql"
        script.write_text(sql)
        return [str(self._home / "bin" / "sql-client.sh"), "-f", str(script)]

    def run(self, name: str, sql: str) -> str:
        """Run a file to its end and return what it printed.

        The client goes on behind a statement that fails and exits with 0, or stops: both show as `[ERROR]`.
        """
        done = subprocess.run(
            self._command(name, sql),
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "[ERROR]" not in done.stdout, done.stdout
        return done.stdout

    @contextmanager
    def running(self, name: str, sql: str) -> Iterator[Output]:
        """Run a file that ends in a query without end, for the length of the block; Ctrl-C ends it, and its job."""
        path = self._directory / f"{name}.out"
        with path.open("wb") as out:
            process = subprocess.Popen(
                self._command(name, sql),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield Output(path, process)
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Output:
    """What a running client has printed."""

    def __init__(self, path: Path, process: subprocess.Popen[bytes]) -> None:
        self._path = path
        self._process = process

    @property
    def text(self) -> str:
        return self._path.read_text()

    def wait_for(self, *parts: str) -> None:
        """Wait until all ``parts`` have been printed, with any blanks between their words."""

        def there() -> bool:
            printed = " ".join(self.text.split())
            assert self._process.poll() is None or all(part in printed for part in parts), self.text
            return all(part in printed for part in parts)

        wait_until(there, f"{parts}")
