"""The distribution of the connector: one version everywhere, and the jar is found where the documentation says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.flink
pytest.importorskip("pyflink")

import pyflink_fluss  # noqa: E402
from pyflink_fluss import jar  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]


def test_the_jar_has_the_version_of_the_package() -> None:
    pom = (ROOT / "flink-sql" / "pom.xml").read_text(encoding="utf-8")
    match = re.search(r"<artifactId>flink-sql-connector-fluss</artifactId>\s*<version>([^<]+)</version>", pom)
    assert match is not None
    assert match[1] == pyflink_fluss.__version__


def test_the_installed_jar_lies_beside_those_of_flink(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLUSS_CONNECTOR_JAR", raising=False)
    path = pyflink_fluss.jar_path()
    assert path.name == f"flink-sql-connector-fluss-{pyflink_fluss.__version__}.jar"
    assert list(path.parent.glob("flink-dist-*.jar"))


def test_a_named_jar_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    named = tmp_path / "mine.jar"
    monkeypatch.setenv("FLUSS_CONNECTOR_JAR", str(named))
    with pytest.raises(FileNotFoundError, match=r"FLUSS_CONNECTOR_JAR=.*mine\.jar is not a file"):
        pyflink_fluss.jar_path()
    named.touch()
    assert pyflink_fluss.jar_path() == named.resolve()


def test_without_a_jar_the_error_says_where_it_was_looked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("FLUSS_CONNECTOR_JAR", raising=False)
    monkeypatch.setattr(jar, "_candidate_directories", lambda: iter([tmp_path]))
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        pyflink_fluss.jar_path()


def test_by_products_of_maven_are_not_the_jar(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("FLUSS_CONNECTOR_JAR", raising=False)
    monkeypatch.setattr(jar, "_candidate_directories", lambda: iter([tmp_path]))
    for name in ("original-flink-sql-connector-fluss-1.jar", "flink-sql-connector-fluss-1-sources.jar"):
        (tmp_path / name).touch()
    (tmp_path / "flink-sql-connector-fluss-1.jar").touch()
    assert pyflink_fluss.jar_path() == tmp_path / "flink-sql-connector-fluss-1.jar"
