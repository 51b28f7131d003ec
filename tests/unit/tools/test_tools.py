"""The set-up tools: what counts as a change of an input, and which Java is new enough."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tools"))

import environments
import fingerprint
import prerequisites
from environments import Stage


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "src" / "deep").mkdir(parents=True)
    (tmp_path / "src" / "a.py").write_text("a", encoding="utf-8")
    (tmp_path / "src" / "deep" / "b.py").write_text("b", encoding="utf-8")
    return tmp_path / "src"


def test_time_stamps_and_build_products_are_no_change(tree: Path) -> None:
    before = fingerprint.fingerprint([tree])
    os.utime(tree / "a.py", (1, 1))
    for name in ("build", "target", "__pycache__", "x.egg-info"):
        (tree / name).mkdir()
        (tree / name / "product").write_text("p", encoding="utf-8")
    (tree / "a.pyc").write_text("p", encoding="utf-8")
    assert fingerprint.fingerprint([tree]) == before


def test_content_names_and_extra_strings_are_a_change(tree: Path) -> None:
    seen = {fingerprint.fingerprint([tree]), fingerprint.fingerprint([tree], "extra")}
    (tree / "deep" / "b.py").write_text("B", encoding="utf-8")
    seen.add(fingerprint.fingerprint([tree]))
    (tree / "deep" / "b.py").rename(tree / "deep" / "c.py")
    seen.add(fingerprint.fingerprint([tree]))
    (tree / "deep" / "c.py").unlink()
    seen.add(fingerprint.fingerprint([tree]))
    assert len(seen) == 5


def test_a_stamp_holds_until_it_is_cleared(tmp_path: Path) -> None:
    stamp = fingerprint.Stamp(tmp_path / "stamps" / "x")
    assert not stamp.matches("1")
    stamp.write("1")
    assert stamp.matches("1")
    assert not stamp.matches("2")
    stamp.clear()
    assert not stamp.matches("1")


@pytest.mark.parametrize(
    ("output", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_392"', 8),
        ("javac 21.0.2", 21),
        ('openjdk version "21-ea"', 21),
        ("nothing", None),
    ],
)
def test_versions_of_java(output: str, major: int | None) -> None:
    assert prerequisites._major_version(output) == major


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(prerequisites.MissingPrerequisite, match="no `java` found on the PATH: install a JDK 17"):
        prerequisites.require_java(compiler=True)
    with pytest.raises(prerequisites.MissingPrerequisite, match="no `mvn` found on the PATH: install Maven"):
        prerequisites.require_maven()
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(prerequisites.MissingPrerequisite, match=f"in JAVA_HOME={tmp_path}"):
        prerequisites.require_java(compiler=False)


def test_environments_are_refreshed_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2, timeout=60)
    monkeypatch.setattr(environments, "refresh", lambda name: both.wait())
    assert environments.main(["server", "docs"]) == 0
    assert environments.main(["server", "unknown"]) == 2


def test_a_build_waits_for_another_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "input").touch()
    stages = [Stage("one", "one", (tmp_path / "input",), (), builds=True)]
    running = threading.Lock()

    def install(directory: Path, python: Path, stage: Stage) -> None:
        assert running.acquire(blocking=False), "two builds at the same time"
        time.sleep(0.05)
        running.release()

    monkeypatch.setattr(environments, "ROOT", tmp_path)
    monkeypatch.setattr(environments, "_create", lambda directory: directory)
    monkeypatch.setattr(environments, "_stages", lambda name: stages)
    monkeypatch.setattr(environments, "_install", install)
    assert environments.main(["server", "docs"]) == 0
    stamps = {tmp_path / name / ".stamps" / "one" for name in (".venv", ".venv-docs")}
    assert all(path.is_file() for path in stamps)
