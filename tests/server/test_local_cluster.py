"""What :class:`LocalCluster` leaves behind: nothing that it has made itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fluss_server.testing import LocalCluster


def test_a_temporary_directory_goes_with_stop() -> None:
    cluster = LocalCluster().start()
    assert (cluster.data_dir / "metadata.journal").exists()
    cluster.restart()
    cluster.kill()
    assert (cluster.data_dir / "metadata.journal").exists(), "a crash keeps the data for the next start"
    cluster.start()
    assert cluster.stop() == 0
    assert not cluster.data_dir.exists()
    with cluster:
        assert cluster.data_dir.exists()
    assert not cluster.data_dir.exists()


def test_a_directory_of_the_caller_stays(tmp_path: Path) -> None:
    LocalCluster(tmp_path).start().stop()
    assert (tmp_path / "metadata.journal").exists()


@pytest.mark.parametrize("start", ["LocalCluster().start()", "LocalCluster(options={'no.such': '1'}).start()"])
def test_the_end_of_the_process_removes_it_too(start: str, tmp_path: Path) -> None:
    program = f"from fluss_server.testing import LocalCluster\nkept = {start}\n"
    subprocess.run([sys.executable, "-c", program], env={"TMPDIR": str(tmp_path)}, check=False, timeout=60)
    assert not list(tmp_path.glob("fluss-*"))
