"""docs/guides/notebooks.md is executed as a notebook, in a Jupyter kernel."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

from doc_examples import README_SERVER, examples
from fluss_server.testing import LocalCluster

GUIDE = "docs/guides/notebooks.md"
CELL_DEADLINE_S = 120
CELLS = ("notebook-connect", "notebook-write", "notebook-read", "notebook-engines", "notebook-lookup", "notebook-close")


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A kernel with the interpreter of the tests, whatever kernels the machine has."""
    directory = tmp_path / "kernels" / "tests"
    directory.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (directory / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "tests", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    return "tests"


def output(cell: Any) -> str:
    """What is printed and shown under a cell."""
    parts = [out.get("text") or out.get("data", {}).get("text/plain", "") for out in cell["outputs"]]
    return "\n".join(parts)


def new_notebook(cells: list[str]) -> Any:
    """A notebook with these cells."""
    v4: Any = nbformat.v4
    return v4.new_notebook(cells=[v4.new_code_cell(cell) for cell in cells])


@pytest.mark.slow
def test_every_cell_runs(fluss_cluster: LocalCluster, kernel: str, tmp_path: Path) -> None:
    code = examples(GUIDE)
    assert tuple(code) == CELLS
    assert README_SERVER in code["notebook-connect"]
    notebook = new_notebook([cell.replace(README_SERVER, fluss_cluster.bootstrap_servers) for cell in code.values()])

    client = nbclient.NotebookClient(
        notebook, kernel_name=kernel, timeout=CELL_DEADLINE_S, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()

    shown = {name: output(cell) for name, cell in zip(code, notebook.cells, strict=True)}
    assert "a    22.875" in shown["notebook-read"], shown["notebook-read"]
    assert (
        "[('a', 26.0), ('b', 26.0)] [(datetime.date(2026, 1, 1), 24), (datetime.date(2026, 1, 2), 24)]"
        in (shown["notebook-engines"])
    )
    assert "{'sensor': 'a', 'place': 'attic'}" in shown["notebook-lookup"]


@pytest.mark.slow
def test_asyncio_run_fails_as_the_guide_says(kernel: str, tmp_path: Path) -> None:
    notebook = new_notebook(["import asyncio\nasync def main(): pass\nasyncio.run(main())"])
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="cannot be called from a running event loop"):
        nbclient.NotebookClient(notebook, kernel_name=kernel, timeout=CELL_DEADLINE_S).execute()
