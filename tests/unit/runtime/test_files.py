from __future__ import annotations

import os
from pathlib import Path

from fluss_server.runtime.disk import FileRegion
from fluss_server.runtime.files import DirectoryLock, make_directories_durably, replace_durably
from fluss_server.runtime.system_disk import SystemFile


def test_replace_leaves_the_new_content_and_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    replace_durably(path, b"one")
    replace_durably(path, b"two")
    assert path.read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["a"]


def test_directories_are_made_with_their_parents_and_again(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b" / "c"
    make_directories_durably(deep)
    make_directories_durably(deep)
    assert deep.is_dir()


def test_a_directory_is_locked_once_until_released(tmp_path: Path) -> None:
    first, second = DirectoryLock(tmp_path), DirectoryLock(tmp_path)
    assert first.acquire()
    assert not second.acquire()
    first.release()
    assert second.acquire()
    second.release()


def test_a_region_reads_its_range(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"0123456789")
    assert FileRegion(SystemFile(path, read_only=True), 3, 4).read() == b"3456"
