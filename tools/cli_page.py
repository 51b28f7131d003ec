"""Runs the commands of docs/cli.md on a real server and writes their output into the page.

Run it in the server environment: ``python tools/cli_page.py``; with ``--check`` it only says whether the page is
current. Commands stand behind ``$`` in blocks marked ``console``; times, rates and other things that differ from run to
run are left as they stand.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from fluss_server.testing import LocalCluster

PAGE = Path(__file__).resolve().parents[1] / "docs" / "cli.md"
_BLOCK = re.compile(r"(?<=^```console\n).*?(?=^```)", re.DOTALL | re.MULTILINE)
_VARYING = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"), "<time>"),
    (re.compile(r'(?<="_commit_timestamp": )\d+'), "<time>"),
    (re.compile(r"127\.0\.0\.1:\d{4,5},"), "<address>,"),
    (re.compile(r'(?<=_bytes": )\d+'), "<bytes>"),
    (re.compile(r'127\.0\.0\.1:\d{4,5}"'), '<address>"'),
    (re.compile(r"^(append|scan|upsert|lookup) .*(rows/s|keys/s).*$", re.MULTILINE), r"\1 <rate> \2"),
    (re.compile(r"^WORK .*$", re.MULTILINE), "<header>"),
)
_COMMAND_TIMEOUT_S = 60


def masked(text: str) -> str:
    """``text`` without what differs from run to run."""
    for pattern, replacement in _VARYING:
        text = pattern.sub(replacement, text)
    return text


def split_step(step: str) -> tuple[str, str]:
    """The command and the output below it. A command goes on as long as a quote or a here-document is open."""
    lines = step.splitlines(keepends=True)
    for end in range(1, len(lines) + 1):
        command = "".join(lines[:end])
        here_document = re.search(r"<< (\w+)\n", command)
        closed = here_document is None or command.endswith(f"\n{here_document[1]}\n")
        if closed and subprocess.run(["bash", "-n", "-c", command], capture_output=True, check=False).returncode == 0:
            return command, "".join(lines[end:])
    raise ValueError(f"not a command: {step}")


def rewritten(page: str, run: Callable[[str], str]) -> str:
    """The page with the output that ``run`` gives for each command, where that is really another one."""

    def block(match: re.Match[str]) -> str:
        before, *steps = re.split(r"^\$ ", match[0], flags=re.MULTILINE)
        if before:
            raise ValueError(f"a console block begins with a command, not with {before!r}")
        text = ""
        for step in steps:
            command, expected = split_step(step)
            printed = "".join(f"{line.rstrip()}\n" for line in run(command).splitlines())
            text += f"$ {command}{expected if masked(printed) == masked(expected) else printed}"
        return text

    return _BLOCK.sub(block, page)


def run_page(page: str) -> str:
    """:func:`rewritten`, with a server of its own."""
    with tempfile.TemporaryDirectory(prefix="fluss-") as directory:
        programs, work = Path(directory, "bin"), Path(directory, "work")
        programs.mkdir()
        work.mkdir()
        for name, arguments in (("fluss", "-m fluss_server"), ("python", "")):
            (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
            (programs / name).chmod(0o755)
        # Permissions can be shown, and everything else is allowed.
        options = {"authorizer.enabled": "true", "super.users": "User:ANONYMOUS"}
        with LocalCluster(work / "data", grpc=True, options=options) as cluster:
            environment = {
                **os.environ,
                "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
                "FLUSS_SERVER": f"127.0.0.1:{cluster.grpc_port}",
            }

            def run(command: str) -> str:
                result = subprocess.run(
                    ["bash", "-c", command],
                    cwd=work,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    timeout=_COMMAND_TIMEOUT_S,
                    check=False,
                )
                return result.stdout

            return rewritten(page, run)


def main() -> int:
    """Write the page, or with ``--check`` compare it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    current = PAGE.read_text()
    text = run_page(current)
    if not check:
        PAGE.write_text(text)
        return 0
    if text != current:
        print(f"{PAGE.name} is out of date: run make reference")
        print("\n".join(difflib.unified_diff(current.splitlines(), text.splitlines(), lineterm="")))
    return int(text != current)


if __name__ == "__main__":
    sys.exit(main())
