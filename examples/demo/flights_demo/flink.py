"""The PyFlink side: environments, jobs that run until they are cancelled, batch queries, and the changelog reader."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .changelog import Replay
from .statements import statements
from .waiting import DemoError, deadline

if TYPE_CHECKING:
    from pyflink.table import StatementSet, TableEnvironment, TableResult

_HEAP = "-Xms256m -Xmx1g -XX:+UseSerialGC"
_PLAN_SECONDS = 120.0
_CANCEL_SECONDS = 60.0

_COMMON = {
    "parallelism.default": "2",
    "table.local-time-zone": "UTC",
    # A failure ends the demo with its cause instead of being retried.
    "restart-strategy.type": "none",
}
_STREAMING = {
    "execution.checkpointing.interval": "5 s",
    # The aggregation writes a group at most once a second instead of once per flight: PyFlink collects some hundred
    # changes a second.
    "table.exec.mini-batch.enabled": "true",
    "table.exec.mini-batch.allow-latency": "1 s",
    "table.exec.mini-batch.size": "5000",
    "table.exec.async-lookup.buffer-capacity": "1000",
}


def prepare_java(log_directory: Path) -> None:
    """Bounds the heap of PyFlink's Java process and chooses its log directory; to be called before PyFlink is used."""
    os.environ.setdefault("JVM_ARGS", _HEAP)
    os.environ["FLINK_LOG_DIR"] = str(log_directory)
    # py4j logs the stack of every failed call; what the demo reports is the failure itself.
    logging.basicConfig(filename=log_directory / "python.log")
    # There are no Python functions here, so no server for them either (its end is noisy on Python 3.12).
    os.environ["_python_worker_execution_mode"] = "process"  # noqa: SIM112 (PyFlink's name for it)


@contextmanager
def attempt(what: str, seconds: float) -> Iterator[None]:
    """Puts a deadline on calls into Java and turns their errors into a DemoError with the innermost cause."""
    with deadline(seconds, what):
        try:
            yield
        except DemoError:
            raise
        except Exception as error:
            raise DemoError(f"{what} failed: {_root_cause(error)}") from error


def environment(bootstrap_servers: str, *, streaming: bool, settings: dict[str, str] | None = None) -> TableEnvironment:
    """Returns a table environment with the catalog `fluss` as the current one."""
    from pyflink.table import EnvironmentSettings, TableEnvironment

    kind = EnvironmentSettings.in_streaming_mode() if streaming else EnvironmentSettings.in_batch_mode()
    created = TableEnvironment.create(kind)
    for key, value in (_COMMON | (settings or {})).items():
        created.get_config().set(key, value)
    for statement in statements("2_catalog.sql", bootstrap=bootstrap_servers):
        created.execute_sql(statement)
    return created


def streaming_environment(bootstrap_servers: str, sources: Path) -> TableEnvironment:
    """Returns the environment of the streaming jobs, which also knows the source files."""
    created = environment(bootstrap_servers, streaming=True, settings=_STREAMING)
    created.use_catalog("default_catalog")
    for statement in statements("1_sources.sql", sources=sources.as_uri()):
        created.execute_sql(statement)
    created.use_catalog("fluss")
    created.use_database("nyc")
    return created


class Job:
    """A running Flink job. Its end, in success or failure, shows in `check`; `cancel` ends it."""

    def __init__(self, name: str, result: TableResult) -> None:
        self.name = name
        self.result = result
        self._client = result.get_job_client()
        self._end = self._client.get_job_execution_result()
        self._cancelled = False

    @classmethod
    def insert(cls, name: str, env: TableEnvironment, inserts: Iterable[str]) -> Job:
        """Submits one job with these INSERT statements."""
        with attempt(f"starting the Flink job '{name}'", _PLAN_SECONDS):
            env.get_config().set("pipeline.name", name)
            together: StatementSet = env.create_statement_set()
            for statement in inserts:
                together.add_insert_sql(statement)
            return cls(name, together.execute())

    @property
    def finished(self) -> bool:
        """True when the job has ended by itself and well; raises DemoError with the cause when it has failed."""
        if not self._end.done():
            return False
        error = self._end.exception()
        if error is not None and not self._cancelled:
            raise DemoError(f"the Flink job '{self.name}' failed: {_root_cause(error)}")
        return True

    def check_running(self) -> None:
        """Raises DemoError when the job, meant to run for ever, has ended."""
        if self.finished:
            raise DemoError(f"the Flink job '{self.name}' ended by itself")

    def wait(self, seconds: float) -> None:
        """Waits for the end of a bounded job; raises DemoError when it fails or takes longer."""
        with attempt(f"the Flink job '{self.name}'", seconds):
            self._end.result()

    def cancel(self) -> None:
        """Cancels the job if it still runs and waits until it has ended."""
        self._cancelled = True
        if self._end.done():
            return
        with attempt(f"cancelling the Flink job '{self.name}'", _CANCEL_SECONDS):
            self._client.cancel().result()
            try:
                self._end.result()
            except Exception as error:
                # A cancelled job ends with the exception that says so.
                if "cancel" not in str(error).lower():
                    raise


def _root_cause(error: BaseException) -> str:
    """Returns the innermost cause in a Java stack trace: the last `Caused by:` line."""
    text = str(error)
    causes = [line.strip() for line in text.splitlines() if line.startswith("Caused by:")]
    return causes[-1] if causes else text.strip().splitlines()[0] if text.strip() else repr(error)


class ChangelogReader:
    """Reads the changelog of the result table in a thread of its own and replays it.

    `start` it after all other jobs have been submitted: with a second thread that calls Java, py4j moves the calls of
    the first one between Java threads, and Flink's planner keeps state in its thread during a statement set.
    """

    def __init__(self, env: TableEnvironment) -> None:
        name = "read the changelog of delays"
        with attempt(f"starting the Flink job '{name}'", _PLAN_SECONDS):
            env.get_config().set("pipeline.name", name)
            (query,) = statements("8_changelog.sql")
            result = env.execute_sql(query)
            self.job = Job(name, result)
            self.columns: list[str] = result.get_resolved_schema().get_column_names()
        self.replay = Replay([self.columns.index("carrier"), self.columns.index("origin")])
        self._flights = self.columns.index("flights")
        self._stopping = False
        self._error: BaseException | None = None
        # Only this thread touches the replay until `stop`; the main thread reads the two numbers below.
        self.flights = 0
        self.changes = 0
        self._thread = threading.Thread(target=self._read, args=(result,), daemon=True)

    def start(self) -> None:
        """Begins to read."""
        self._thread.start()

    def _read(self, result: TableResult) -> None:
        counted: dict[tuple[Any, ...], int] = {}
        try:
            with result.collect() as rows:
                for row in rows:
                    values = tuple(row)
                    kind = str(row.get_row_kind())
                    self.replay.apply(kind, values)
                    key = (values[0], values[1])
                    # A removed image does not count as "fewer flights": its successor follows at once.
                    if kind in ("+I", "+U"):
                        self.flights += values[self._flights] - counted.get(key, 0)
                        counted[key] = values[self._flights]
                    self.changes += 1
        except BaseException as error:
            if not self._stopping:
                self._error = error

    def check(self) -> None:
        """Raises DemoError when reading has ended."""
        self.job.check_running()
        if self._error is not None:
            raise DemoError(f"reading the changelog failed: {_root_cause(self._error)}") from self._error

    def stop(self) -> Replay:
        """Ends the job and returns the replayed table."""
        self._stopping = True
        self.job.cancel()
        if self._thread.ident is not None:
            self._thread.join(_CANCEL_SECONDS)
        if self._thread.is_alive():
            raise DemoError("the changelog reader did not end with its job")
        return self.replay


class TableCounts:
    """Row counts of tables as the server knows them, without running a Flink job."""

    def __init__(self, bootstrap_servers: str, database: str) -> None:
        from pyflink.java_gateway import get_gateway

        self._java = get_gateway().jvm.io.fluss.client
        options = self._java.ClientOptions.fromMap({"bootstrap.servers": bootstrap_servers})
        self._client = self._java.FlussClient.connect(options)
        self._database = database
        self._tables: dict[str, Any] = {}

    def __getitem__(self, table: str) -> int:
        if table not in self._tables:
            self._tables[table] = self._client.getTable(self._java.TablePath(self._database, table))
        return int(self._client.rowCount(self._tables[table]))

    def close(self) -> None:
        self._client.close()
