"""What an error says to its reader."""

from __future__ import annotations

from fluss_server.errors import MAX_TEXT_LENGTH, ErrorCode, FlussError


def test_text_and_hint() -> None:
    assert str(FlussError(ErrorCode.TABLE_NOT_EXIST, "no table a.b")) == "no table a.b"
    error = FlussError(ErrorCode.DISK_WRITE_LOCKED, "the disk is full", hint="free space")
    assert (str(error), error.name, error.retriable) == ("the disk is full (free space)", "DISK_WRITE_LOCKED", True)


def test_long_texts_are_cut() -> None:
    assert len(str(FlussError(ErrorCode.TABLE_NOT_EXIST, "x" * MAX_TEXT_LENGTH))) == MAX_TEXT_LENGTH
    text = str(FlussError(ErrorCode.TABLE_NOT_EXIST, "y" * MAX_TEXT_LENGTH, hint="h"))
    assert text == "y" * (MAX_TEXT_LENGTH - 1) + "…"
