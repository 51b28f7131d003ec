"""Entry point of the ``fluss`` command."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

from fluss_server.cli.completion import NAMES_COMMAND, print_names
from fluss_server.cli.failures import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, CommandError
from fluss_server.cli.output import note
from fluss_server.cli.parser import build_parser
from fluss_server.errors import FlussError

__all__ = ["build_parser", "main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 0 for success, 1 failed or nothing found, 2 wrong usage, 130 Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal or locale without some characters is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    if arguments is None:
        arguments = sys.argv[1:]
    try:
        if arguments and arguments[0] == NAMES_COMMAND:
            print_names(arguments[1:])
            return 0
        parsed = build_parser().parse_args(arguments)
        code = int(parsed.run(parsed))
        sys.stdout.flush()
        return code
    except FlussError as error:
        return _failed(f"error {int(error.code)} {error.name}: {error.message}", error.hint, EXIT_FAILED)
    except CommandError as error:
        return _failed(f"error: {error.message}", error.hint, error.exit_code)
    except UnicodeEncodeError as error:
        return _failed(f"error: {error.object!r} is not valid Unicode", None, EXIT_USAGE)
    except BrokenPipeError:  # the reader of our output, `head` for example, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except KeyboardInterrupt:
        sys.unraisablehook = lambda unraisable: None  # what was half made complains when it is thrown away
        return EXIT_INTERRUPTED


def _failed(message: str, hint: str | None, code: int) -> int:
    note(f"fluss: {message}")
    if hint:
        note(f"hint: {hint}")
    return code


def print_options(parsed: argparse.Namespace) -> None:
    """``fluss config options``"""
    from fluss_server.config import options_reference

    print(options_reference())
