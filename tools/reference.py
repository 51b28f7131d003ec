"""Writes docs/reference.md from the code: the command line, the options of servers and tables, the error
codes, the metrics.

Run it in the server environment: ``python tools/reference.py``; with ``--check`` it only says whether the file is
current.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from fluss_server.cli.parser import SERVER_VARIABLE, USER_VARIABLE, build_parser
from fluss_server.config import options_reference
from fluss_server.errors import RETRIABLE_CODES, ErrorCode
from fluss_server.metrics.catalogue import CATALOGUE, MetricKind

TARGET = Path(__file__).resolve().parents[1] / "docs" / "reference.md"


def commands(parser: argparse.ArgumentParser) -> list[tuple[str, str]]:
    """Title and help text of a command and of all its subcommands."""
    found = [(parser.prog, parser.format_help())]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for subcommand in action.choices.values():
                found += commands(subcommand)
    return found


def reference() -> str:
    """The whole document."""
    os.environ["COLUMNS"] = "100"  # argparse wraps to the terminal's width
    for variable in (SERVER_VARIABLE, USER_VARIABLE):
        os.environ.pop(variable, None)  # they are defaults
    parts = ["# Reference", "Made from the code by `make reference`; do not edit.", "## Commands"]
    for title, text in commands(build_parser()):
        parts += [f"### `{title}`", f"```\n{text.rstrip()}\n```"]
    parts += ["## Options", f"```\n{options_reference().rstrip()}\n```", "## Error codes"]
    rows = ["| code | name | may succeed when repeated |", "|---|---|---|"]
    rows += [f"| {int(code)} | {code.name} | {'yes' if code in RETRIABLE_CODES else ''} |" for code in ErrorCode]
    parts.append("\n".join(rows))
    parts += [
        "## Metrics",
        "With `--set metrics.reporters=prometheus`; every one has the labels `host` and `server_id` too. A histogram"
        " has `_bucket`, `_count` and `_sum`. There are also the usual `process_*` metrics.",
    ]
    rows = ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    for metric in CATALOGUE.values():
        names = " ".join(f"`{name}`" for name in metric.exported_names)
        kind = "gauge and counter" if metric.kind is MetricKind.RATE else metric.kind.value
        rows.append(f"| {names} | {kind} | {' '.join(f'`{label}`' for label in metric.labels)} | {metric.help} |")
    parts.append("\n".join(rows))
    return "\n\n".join(parts) + "\n"


def main() -> int:
    """Write the file, or with ``--check`` compare it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    text = reference()
    if check:
        current = TARGET.exists() and TARGET.read_text() == text
        print(f"{TARGET.name} is {'current' if current else 'out of date: run make reference'}")
        return 0 if current else 1
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
