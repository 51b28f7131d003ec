"""The SQL files of the demo are split into statements correctly."""

from pathlib import Path

import pytest
from flights_demo import statements as module
from flights_demo.statements import named_statements, statements


def test_every_file_of_the_demo_is_readable() -> None:
    files = sorted(path.name for path in (Path(module.__file__).parent / "sql").glob("*.sql"))
    found = {file: statements(file, bootstrap="h:1", sources="file:///s") for file in files}
    assert [len(found[file]) for file in files] == [5, 4, 7, 4, 1, 1, 1, 1, 7]
    for texts in found.values():
        for text in texts:
            assert text.split()[0] in ("CREATE", "USE", "INSERT", "SELECT")
            assert ";" not in text
            assert "${" not in text


def test_values_are_put_in() -> None:
    assert "'bootstrap.servers' = 'h:1'" in statements("2_catalog.sql", bootstrap="h:1")[0]


def test_names_come_from_the_comments() -> None:
    assert list(named_statements("9_results.sql"))[:2] == ["flights counted", "enriched flights counted"]


def test_an_unfinished_statement_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.sql").write_text("SELECT 1;\nSELECT 2\n", encoding="utf-8")
    monkeypatch.setattr(module, "_DIRECTORY", tmp_path)
    with pytest.raises(ValueError, match="does not end with a semicolon"):
        statements("x.sql")
