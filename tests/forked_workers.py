"""``--workers N``: tests run in processes that are forked from the one that has collected them.

Workers of pytest-xdist import and collect everything once more each, which takes longer than a third of the fast tests.
A forked worker has it already. The process that forks them runs no test: it tells each worker which tests come next,
and reports what the workers send, so that output, exit code and ``--last-failed`` are those of a single process.

A unit of work are a few tests of a file, in their order; with ``--whole-files`` all of a file, for files whose tests
share servers. A worker that dies fails the test that it was running; another one takes its place.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
import warnings
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from itertools import groupby
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any, NoReturn

import pytest
from _pytest.config import create_terminal_writer

Unit = list[int]
"""Indexes of tests."""

_TESTS_OF_A_UNIT = 8
_END_DEADLINE_S = 60.0
"""How long a worker may take to tear its fixtures down when the run is interrupted."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("forked workers")
    group.addoption("--workers", type=int, default=0, help="processes that run the tests; 0 for this one")
    group.addoption("--whole-files", action="store_true", help="all tests of a file run in one process")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    count = session.config.getoption("workers")
    if not count or session.config.getoption("collectonly") or session.testsfailed:
        return None
    most = len(session.items) if session.config.getoption("whole_files") else _TESTS_OF_A_UNIT
    Workers(session, list(units(session.items, most))).run(count)
    return True


def units(items: list[pytest.Item], most: int) -> Iterator[Unit]:
    """Tests of the same file that follow each other, ``most`` at a time."""
    for _, numbered in groupby(enumerate(items), lambda pair: pair[1].path):
        indexes = [index for index, _ in numbered]
        yield from (indexes[first : first + most] for first in range(0, len(indexes), most))


class Worker:
    """A worker as the process sees it that forked it."""

    def __init__(self, pid: int, connection: Connection) -> None:
        self.pid = pid
        self.connection = connection
        self.assigned: deque[int] = deque()


class Workers:
    """Forks workers, hands out units and reports results."""

    def __init__(self, session: pytest.Session, work: list[Unit]) -> None:
        self._session = session
        self._config = session.config
        self._work = deque(work)
        self._workers: list[Worker] = []

    def run(self, count: int) -> None:
        """Run all tests in ``count`` processes at a time."""
        # Temporary directories of all workers are in one place.
        self._config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
        try:
            for _ in range(min(count, len(self._work))):
                self._fork()
            while self._workers:
                for connection in wait([worker.connection for worker in self._workers]):
                    worker = next(worker for worker in self._workers if worker.connection is connection)
                    self._receive(worker)
        finally:
            self._end()
        if self._session.shouldfail:
            raise self._session.Failed(self._session.shouldfail)
        if self._session.shouldstop:
            raise self._session.Interrupted(self._session.shouldstop)

    def _fork(self) -> None:
        ours, theirs = Pipe()
        capture = self._config.pluginmanager.getplugin("capturemanager")
        if capture is not None:  # each process needs files of its own to capture output in
            capture.stop_global_capturing()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if capture is not None:
            capture.start_global_capturing()
        if pid == 0:
            for worker in self._workers:  # or they would not notice the end of this process
                worker.connection.close()
            ours.close()
            _work(self._session, theirs)
        theirs.close()
        worker = Worker(pid, ours)
        self._workers.append(worker)
        self._assign(worker)

    def _assign(self, worker: Worker) -> None:
        """Send the next unit; an empty one is the end."""
        stop = self._session.shouldfail or self._session.shouldstop
        unit = self._work.popleft() if self._work and not stop else []
        worker.assigned += unit
        with suppress(OSError):  # it has died, which shows when its connection is read
            worker.connection.send(unit)

    def _receive(self, worker: Worker) -> None:
        try:
            kind, *content = worker.connection.recv()
        except (EOFError, ConnectionResetError):
            self._died(worker)
            return
        if kind == "next":
            self._assign(worker)
        elif kind == "ran":
            self._report(worker.assigned.popleft(), *content)
        elif kind == "ended":
            self._forget(worker)
        else:
            raise RuntimeError(f"a worker failed outside of tests:\n{content[0]}")

    def _report(self, index: int, reports: list[dict[str, Any]], recorded: list[dict[str, Any]]) -> None:
        """What one test had to report."""
        item, hook = self._session.items[index], self._config.hook
        for warning in recorded:
            hook.pytest_warning_recorded.call_historic(kwargs=warning)
        hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for data in reports:
            report = hook.pytest_report_from_serializable(config=self._config, data=data)
            hook.pytest_runtest_logreport(report=report)
        hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)

    def _died(self, worker: Worker) -> None:
        """Fail the test that it was running; the others of its unit are for another worker."""
        _, status = os.waitpid(worker.pid, 0)
        self._workers.remove(worker)
        worker.connection.close()
        if worker.assigned:
            index = worker.assigned.popleft()
            item = self._session.items[index]
            text = f"{item.nodeid}: the process that ran it died with exit code {os.waitstatus_to_exitcode(status)}"
            report = pytest.TestReport(item.nodeid, item.location, {}, "failed", text, "call")
            data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
            self._report(index, [data], [])
            if worker.assigned:
                self._work.appendleft(list(worker.assigned))
        if self._work:
            self._fork()

    def _forget(self, worker: Worker) -> None:
        os.waitpid(worker.pid, 0)
        worker.connection.close()
        self._workers.remove(worker)

    def _end(self) -> None:
        """Interrupt the workers that are left, and wait for them."""
        for worker in self._workers:
            worker.connection.close()
            os.kill(worker.pid, signal.SIGINT)
        deadline = time.monotonic() + _END_DEADLINE_S
        for worker in self._workers:
            while os.waitpid(worker.pid, os.WNOHANG)[0] == 0:
                if time.monotonic() > deadline:
                    os.kill(worker.pid, signal.SIGKILL)
                time.sleep(0.05)
        self._workers.clear()


class _Recorder:
    """A plugin of workers: keeps what the hooks tell about a test."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self.reports: list[dict[str, Any]] = []
        self.warnings: list[dict[str, Any]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.reports.append(self._config.hook.pytest_report_to_serializable(config=self._config, report=report))

    def pytest_warning_recorded(
        self, warning_message: warnings.WarningMessage, when: str, nodeid: str, location: tuple[str, int, str] | None
    ) -> None:
        # Arguments and category of a warning may be anything: its text is sent, and a category that Python has.
        category = next(base for base in warning_message.category.__mro__ if base.__module__ == "builtins")
        text = str(warning_message.message)
        told = warnings.WarningMessage(text, category, warning_message.filename, warning_message.lineno)
        self.warnings.append({"warning_message": told, "when": when, "nodeid": nodeid, "location": location})


class _Terminal:
    """In place of pytest's: what pytest-timeout writes there becomes a part of the report."""

    def __init__(self, config: pytest.Config) -> None:
        self._tw = create_terminal_writer(config, sys.stderr)


def _work(session: pytest.Session, connection: Connection) -> NoReturn:
    """Run units until an empty one comes; the process ends here, without what the other one does at its end."""
    status = 1
    try:
        _run_units(session, connection)
        connection.send(("ended",))
        status = 0
    except (KeyboardInterrupt, OSError, EOFError):  # the run was interrupted: by its user, or by its end
        pass
    except BaseException:
        connection.send(("error", traceback.format_exc()))
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # fixtures stop servers
        try:
            session._setupstate.teardown_exact(None)
        finally:
            os._exit(status)


def _run_units(session: pytest.Session, connection: Connection) -> None:
    config, items = session.config, session.items
    recorder = _Recorder(config)
    if config.pluginmanager.has_plugin("terminalreporter"):
        config.pluginmanager.unregister(name="terminalreporter")
        config.pluginmanager.register(_Terminal(config), "terminalreporter")
    config.pluginmanager.register(recorder)
    recorder.warnings = []  # those from before are told to every new plugin
    unit: Unit = connection.recv()
    while unit:
        index = unit.pop(0)
        if not unit:  # which fixtures live on depends on the test that follows
            connection.send(("next",))
            unit = connection.recv()
        following = items[unit[0]] if unit else None
        config.hook.pytest_runtest_protocol(item=items[index], nextitem=following)
        connection.send(("ran", recorder.reports, recorder.warnings))
        recorder.reports, recorder.warnings = [], []
        if session.shouldfail or session.shouldstop:
            return
