"""docs/cli.md: every command is run on a real server, and its output is the one that stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from fluss_server.cli.parser import build_parser
from fluss_server.testing import LocalCluster

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cli.md"
_BLOCK = re.compile(r"^```console\n(.*?)^```", re.DOTALL | re.MULTILINE)
# What differs from run to run.
_VARYING = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"), "<time>"),
    (re.compile(r'(?<="_commit_timestamp": )\d+'), "<time>"),
    (re.compile(r"127\.0\.0\.1:\d{4,5},"), "<address>,"),
    (re.compile(r"^(append|scan|upsert|lookup) .*(rows/s|keys/s).*$", re.MULTILINE), r"\1 <rate> \2"),
    (re.compile(r"^WORK .*$", re.MULTILINE), "<header>"),
    (re.compile(r"\d+ transactions, \d+ bytes"), "<size>"),
)


def steps() -> Iterator[tuple[str, str]]:
    """Commands of the page with the output below each."""
    for block in _BLOCK.findall(PAGE.read_text()):
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            yield _split(step)


def _split(step: str) -> tuple[str, str]:
    """A command goes on over line ends as long as a quote or a here-document is open."""
    lines = step.splitlines(keepends=True)
    for end in range(1, len(lines) + 1):
        command = "".join(lines[:end])
        here_document = re.search(r"<< (\w+)\n", command)
        closed = here_document is None or command.endswith(f"\n{here_document[1]}\n")
        if closed and subprocess.run(["bash", "-n", "-c", command], capture_output=True, check=False).returncode == 0:
            return command, "".join(lines[end:])
    raise AssertionError(f"not a command: {step}")


def masked(text: str) -> str:
    for pattern, replacement in _VARYING:
        text = pattern.sub(replacement, text)
    return text


def test_every_command_prints_what_the_page_says(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, arguments in (("fluss", "-m fluss_server"), ("python", "")):
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        (programs / name).chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    checked = 0
    with LocalCluster(work / "data", grpc=True) as cluster:
        environment = {
            **os.environ,
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "FLUSS_SERVER": f"127.0.0.1:{cluster.grpc_port}",
        }
        for command, expected in steps():
            result = subprocess.run(
                ["bash", "-c", command],
                cwd=work,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=60,
                check=False,
            )
            printed = "".join(line.rstrip() + "\n" for line in result.stdout.splitlines())
            assert masked(printed) == masked(expected), command
            checked += 1
    assert checked > 25


def test_the_page_shows_every_command() -> None:
    page = PAGE.read_text()
    commands = next(action.choices for action in build_parser()._actions if action.dest == "command")
    assert commands is not None
    missing = [name for name in commands if f"fluss {name}" not in page]
    assert missing == []
