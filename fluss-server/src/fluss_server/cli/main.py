"""Entry point of the ``fluss`` command."""

from __future__ import annotations

import argparse
import gc
import io
import os
import sys
from collections.abc import Sequence

from fluss_server.cli.arguments import NAMES_COMMAND
from fluss_server.cli.failures import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, CommandError
from fluss_server.cli.parser import build_parser
from fluss_server.errors import FlussError

__all__ = ["build_parser", "main"]

# When the cycle collector runs. Of the youngest objects after so many new containers: Python's default is 700, which a
# batch of upserts makes ten times over. Of those that have survived one run after 4 runs (default 10) and of all after
# 800 (default 100, but soon again while many requests wait): it holds the event loop for about 0.1 us for each object,
# of which 20,000 waiting fetches are made of a million. Few objects of requests are in cycles, and few of modules that
# are loaded: with the default there would be 80 runs before a server is ready.
_GC_THRESHOLDS = (10_000, 4, 200)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 0 for success, 1 failed or nothing found, 2 wrong usage, 130 Ctrl-C."""
    gc.set_threshold(*_GC_THRESHOLDS)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal or locale without some characters is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    if arguments is None:
        arguments = sys.argv[1:]
    try:
        if arguments and arguments[0] == NAMES_COMMAND:
            from fluss_server.cli.completion import print_names

            print_names(arguments[1:])
            return 0
        parsed = build_parser(arguments[0] if arguments else None).parse_args(arguments)
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
    from fluss_server.cli.output import note  # a server that runs need not load it

    note(f"fluss: {message}")
    if hint:
        note(f"hint: {hint}")
    return code


def print_options(parsed: argparse.Namespace) -> None:
    """``fluss config options``"""
    from fluss_server.config import options_reference

    print(options_reference())
