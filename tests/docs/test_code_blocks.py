"""Every code block of the documentation is run by a test, or says why it is not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
RUN_BY_TOOLS = {"console"}  # docs/cli.md, see test_cli_page.py
DATA = {"json"}  # documents, not programs
_FENCE = re.compile(r"^ *```(?P<language>\w*)", re.MULTILINE)
_TEST = re.compile(r"<!-- test: ([\w-]+) -->")
_NOT_RUN = re.compile(r"<!-- not run: .{10,} -->")


def code_blocks() -> Iterator[tuple[str, str, str]]:
    """Document, language and the line above each block with a language."""
    for document in [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]:
        lines = document.read_text().splitlines()
        inside = False
        for number, line in enumerate(lines):
            if fence := _FENCE.match(line):
                inside = not inside
                if inside and fence["language"]:
                    yield f"{document.relative_to(ROOT)}:{number + 1}", fence["language"], lines[number - 1].strip()


def test_every_block_says_who_runs_it() -> None:
    unmarked = [
        place
        for place, language, above in code_blocks()
        if language not in RUN_BY_TOOLS | DATA and not (_TEST.fullmatch(above) or _NOT_RUN.fullmatch(above))
    ]
    assert unmarked == []


def test_console_blocks_are_on_the_page_that_is_run() -> None:
    assert {place.partition(":")[0] for place, language, _ in code_blocks() if language == "console"} == {"docs/cli.md"}


def test_every_test_that_a_block_names_exists() -> None:
    tests = "\n".join(path.read_text() for path in TESTS.rglob("*.py"))
    named = {match[1]: place for place, _, above in code_blocks() if (match := _TEST.fullmatch(above))}
    missing = {place: name for name, place in named.items() if f'"{name}"' not in tests and name not in BY_CONTENT}
    assert missing == {}


BY_CONTENT = {"grant", "credentials", "client-options"}  # test_security_page.py finds them by what is in them
