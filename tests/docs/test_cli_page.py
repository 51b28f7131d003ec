"""docs/cli.md: every command is run on a real server, and its output is the one that stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from fluss_server.cli.parser import build_parser

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "cli.md"


def test_every_command_prints_what_the_page_says() -> None:
    command = [sys.executable, str(ROOT / "tools" / "cli_page.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_page_runs_every_command() -> None:
    run = set(re.findall(r"(?:^\$ |\| |&& )fluss ([\w-]+)", PAGE.read_text(), flags=re.MULTILINE))
    commands = next(action.choices for action in build_parser()._actions if action.dest == "command")
    assert commands is not None
    assert set(commands) - run == NOT_RUN


NOT_RUN = {
    "local",  # servers, on which all others run
    "coordinator",
    "tablet-server",
    "drain",  # tests/cluster/test_commands.py runs it on several servers
}
