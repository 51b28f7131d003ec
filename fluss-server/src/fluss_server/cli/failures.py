"""Failures that a command finds by itself, before or without a server; those of a server are ``FlussError``."""

from __future__ import annotations

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
"""What shells give to a program that Ctrl-C ended: 128 + SIGINT."""


class CommandError(Exception):
    """A failure with a text for the person who runs the command.

    Args:
        message: what happened, with the names and values involved.
        hint: what the reader can do about it, one sentence.
    """

    exit_code = EXIT_FAILED

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(CommandError):
    """The command line itself is wrong: exit code 2, as for what argparse refuses."""

    exit_code = EXIT_USAGE


class InputError(CommandError):
    """A file or a value of the input cannot be read."""
