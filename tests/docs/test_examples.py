"""The examples of the README and of the docs run as they stand there, against a real server."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import pytest

from doc_examples import README_SERVER, ROOT, example
from fluss_server.testing import LocalCluster


def run_python(code: str, cluster: LocalCluster | None, *, exit_codes: tuple[int, ...] = (0,)) -> str:
    if cluster is not None:
        assert README_SERVER in code
        code = code.replace(README_SERVER, cluster.bootstrap_servers)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode in exit_codes, result.stderr
    return result.stdout


def test_readme_pyfluss(fluss_cluster: LocalCluster) -> None:
    # pyfluss 1.0.0 sometimes aborts while the interpreter ends, after everything is done and printed.
    output = run_python(example("pyfluss"), fluss_cluster, exit_codes=(0, -signal.SIGABRT))
    assert "{'id': 1, 'celsius': 21.0}" in output


def test_tables(fluss_cluster: LocalCluster) -> None:
    output = run_python(example("tables", "docs/tables.md"), fluss_cluster, exit_codes=(0, -signal.SIGABRT))
    assert f"prints\n\n```\n{output}```\n" in (ROOT / "docs/tables.md").read_text()
    assert "did you mean 'table.log.ttl'?" in output


def test_partitions(fluss_cluster: LocalCluster) -> None:
    output = run_python(example("partitions", "docs/tables.md"), fluss_cluster, exit_codes=(0, -signal.SIGABRT))
    assert "'region': 'eu', 'page': '/home'}" in output
    assert "['2026-01-01$eu']" in output


def test_log_tables_filter(fluss_cluster: LocalCluster) -> None:
    output = run_python(example("pyfluss-filter", "docs/log-tables.md"), fluss_cluster, exit_codes=(0, -signal.SIGABRT))
    assert output in (ROOT / "docs/log-tables.md").read_text()
    assert output == "24 {'day': 1, 'celsius': 10.0}\n"


def test_primary_key_tables(fluss_cluster: LocalCluster) -> None:
    document = "docs/primary-key-tables.md"
    output = run_python(example("versioned", document), fluss_cluster, exit_codes=(0, -signal.SIGABRT))
    assert output == "{'item': 'tea', 'price': 1.7, 'at': 11}\n"
    assert output.strip() in (ROOT / document).read_text()


def test_readme_testing() -> None:
    assert re.match(r"127\.0\.0\.1:\d+\n", run_python(example("testing"), None))


@pytest.mark.flink
@pytest.mark.slow
def test_readme_pyflink(fluss_cluster: LocalCluster) -> None:
    output = run_python(example("pyflink"), fluss_cluster)
    assert re.search(r"stream \|\s+3 ", output), output
    assert re.search(r"table \|\s+2 ", output), output
