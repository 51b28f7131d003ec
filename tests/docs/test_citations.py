"""Documents that code and documents refer to exist, and so do the modules that documents refer to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
SOURCE = ROOT / "fluss-server" / "src" / "fluss_server"
CODE_ROOTS = ("fluss-server", "pyflink-connector", "flink-sql", "tests", "benchmarks", "tools", "examples")
NOT_OURS = {"build", "dist", "target", "node_modules", "__pycache__"}

_DOCUMENT = re.compile(r"(?<![\w./-])(?:[\w-]+/)*[\w-]+\.md\b")
_DECISION = re.compile(r"docs/decisions/(\d{4})\b")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)#\s]+\.md)?(#[\w-]+)?\)")
_MODULE = re.compile(r"`((?:[a-z_]+/)*[a-z_0-9]+\.py|(?:[a-z_]+/)+)`")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
# Written by `make bench-compare`; a run may put them elsewhere.
_MADE_BY_COMMANDS = {"results.md"}


def code_files() -> Iterator[Path]:
    for name in CODE_ROOTS:
        for path in sorted((ROOT / name).rglob("*")):
            if path.suffix in {".py", ".java", ".proto"} and not NOT_OURS & set(path.parts):
                yield path


def documents() -> list[Path]:
    return [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]


def anchors(document: Path) -> set[str]:
    """Ids of the headings, as Python-Markdown makes them."""
    found: set[str] = set()
    for heading in _HEADING.findall(_FENCE.sub("", document.read_text())):
        text = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", text).strip().lower())
        number = 1
        unique = slug
        while unique in found:
            unique = f"{slug}_{number}"
            number += 1
        found.add(unique)
    return found


def test_documents_that_code_cites_exist() -> None:
    missing = []
    for path in code_files():
        text = path.read_text()
        for name in _DOCUMENT.findall(text):
            beside_or_in_project = (path.parent / name, ROOT / name, DOCS / name)
            if name not in _MADE_BY_COMMANDS and not any(place.exists() for place in beside_or_in_project):
                missing.append(f"{path.relative_to(ROOT)}: {name}")
        missing += [
            f"{path.relative_to(ROOT)}: decision {number}"
            for number in _DECISION.findall(text)
            if not list((DOCS / "decisions").glob(f"{number}-*.md"))
        ]
    assert missing == []


def test_links_between_documents_lead_somewhere() -> None:
    broken = []
    for document in documents():
        for target, anchor in _LINK.findall(_FENCE.sub("", document.read_text())):
            if target.startswith(("http:", "https:")):
                continue
            path = (document.parent / target).resolve() if target else document
            if not path.exists() or (anchor and anchor.removeprefix("#") not in anchors(path)):
                broken.append(f"{document.relative_to(ROOT)}: {target}{anchor}")
    assert broken == []


def test_every_decision_is_in_the_index() -> None:
    index = (DOCS / "decisions" / "index.md").read_text()
    assert [path.name for path in (DOCS / "decisions").glob("[0-9]*.md") if f"({path.name})" not in index] == []


def test_modules_that_format_and_protocol_pages_name_exist() -> None:
    names = {path.name for path in SOURCE.rglob("*.py")}
    missing = []
    for document in [*sorted((DOCS / "formats").glob("*.md")), *sorted((DOCS / "protocol").glob("*.md"))]:
        for name in _MODULE.findall(document.read_text()):
            known = name in names or (SOURCE / name).exists() or (ROOT / name).exists()
            if not known and not _is_a_data_directory(name):
                missing.append(f"{document.relative_to(ROOT)}: {name}")
    assert missing == []


def _is_a_data_directory(name: str) -> bool:
    return name == "db/"
