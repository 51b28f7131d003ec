"""Entry point of the ``fluss`` command."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from fluss_server.cli.parser import build_parser
from fluss_server.errors import FlussError

EXIT_ERROR = 1

__all__ = ["build_parser", "main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code: 0 well, 1 failed, 2 wrong usage."""
    parsed = build_parser().parse_args(arguments)
    try:
        code = int(parsed.run(parsed))
        sys.stdout.flush()
        return code
    except FlussError as error:
        print(f"fluss: error {int(error.code)} {error.name}: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        return EXIT_ERROR
    except BrokenPipeError:  # the reader of our output, `head` for example, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_ERROR


def print_options(parsed: argparse.Namespace) -> None:
    """``fluss config options``"""
    from fluss_server.config import options_reference

    print(options_reference())


def print_completion(parsed: argparse.Namespace) -> None:
    """``fluss completion``"""
    import shtab

    print(shtab.complete(build_parser(), shell=parsed.shell))
