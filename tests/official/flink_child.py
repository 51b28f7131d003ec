"""Runs SQL for ``flink_session.py``: one JSON object per line in, one out.

``{"sql", "batch", "rows", "background"}`` gives ``{"ok": [[kind, values...], ...]}`` or ``{"error": text}``, where
``rows`` is how many rows to wait for before the job is cancelled, null for all of them. A statement in the background
goes on until ``{"cancel": its number}``. A process of its own, because a process has one class path for Flink, and this
one has the official connector in it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from typing import Any

from pyflink.common import Configuration
from pyflink.table import EnvironmentSettings, TableEnvironment, TableResult

_PLAIN = (type(None), bool, int, float, str)


def plain(value: Any) -> Any:
    """A value of JSON: rows, arrays and maps as lists, everything else as text."""
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, dict):
        return [[plain(key), plain(entry)] for key, entry in value.items()]
    if isinstance(value, bytes | bytearray):
        return bytes(value).hex()
    if hasattr(value, "get_row_kind") or isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return str(value)


END_DEADLINE_S = 300.0


class Session:
    """A batch and a streaming environment on one cluster."""

    def __init__(self, rest_port: int, servers: str) -> None:
        self._rest_port = rest_port
        self._servers = servers
        self._environments: dict[bool, TableEnvironment] = {}
        self._background: dict[int, TableResult] = {}

    def _environment(self, batch: bool) -> TableEnvironment:
        if batch not in self._environments:
            configuration = Configuration()
            settings = {
                "execution.target": "remote",
                "rest.address": "127.0.0.1",
                "rest.port": str(self._rest_port),
                "parallelism.default": "1",
                "execution.runtime-mode": "batch" if batch else "streaming",
                "execution.checkpointing.interval": "500ms",
            }
            for key, value in settings.items():
                configuration.set_string(key, value)
            builder = EnvironmentSettings.new_instance().with_configuration(configuration)
            environment = TableEnvironment.create(
                (builder.in_batch_mode() if batch else builder.in_streaming_mode()).build()
            )
            environment.execute_sql(
                f"CREATE CATALOG fluss WITH ('type' = 'fluss', 'bootstrap.servers' = '{self._servers}')"
            )
            environment.use_catalog("fluss")
            self._environments[batch] = environment
        return self._environments[batch]

    def run(self, request: dict[str, Any]) -> Any:
        if "cancel" in request:
            _cancel(self._background.pop(request["cancel"]))
            return None
        result = self._environment(request["batch"]).execute_sql(request["sql"])
        if request["background"]:
            number = len(self._background) + 1
            self._background[number] = result
            return number
        if request["sql"].startswith("INSERT"):
            _await_end(result)
        found: list[list[Any]] = []
        wanted = request["rows"]
        with result.collect() as rows:
            while wanted is None or len(found) < wanted:
                row = next(rows, None)
                if row is None:
                    break
                found.append([str(row.get_row_kind()), *(plain(value) for value in row)])
        if wanted is not None:
            _cancel(result)
        return found


def _await_end(result: TableResult) -> None:
    """Flink's client by itself asks less and less often, see ``insert`` in ``flink/sql.py``."""
    client = result.get_job_client()
    deadline = time.monotonic() + END_DEADLINE_S
    while client is not None and not client.get_job_status().result().is_terminal_state():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the job has not ended within {END_DEADLINE_S:.0f} s")
        time.sleep(0.02)


def _cancel(result: TableResult) -> None:
    client = result.get_job_client()
    if client is not None:
        with contextlib.suppress(Exception):  # it may have ended by itself
            client.cancel().result()


def main() -> None:
    responses = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever Java prints must not end up between the answers
    session = Session(int(sys.argv[1]), sys.argv[2])
    for line in sys.stdin:
        try:
            response = {"ok": session.run(json.loads(line))}
        except Exception as error:
            response = {"error": str(error)}
        print(json.dumps(response), file=responses, flush=True)


if __name__ == "__main__":
    main()
