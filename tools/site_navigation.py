"""Adds the decisions to the navigation of the site: their files are numbered and listed in docs/decisions/index.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SECTION = "Decisions"


def on_config(config: Any) -> Any:
    """Called by MkDocs when it has read its configuration."""
    directory = Path(config["docs_dir"]) / "decisions"
    pages = [f"decisions/{path.name}" for path in sorted(directory.glob("[0-9]*.md"))]
    for section in _sections(config["nav"]):
        if SECTION in section:
            section[SECTION] = ["decisions/index.md", *pages]
    return config


def _sections(nav: list[Any]) -> list[dict[str, Any]]:
    """All entries with a title, at every depth."""
    found = [entry for entry in nav if isinstance(entry, dict)]
    for entry in list(found):
        for children in entry.values():
            if isinstance(children, list):
                found += _sections(children)
    return found
