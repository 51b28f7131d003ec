"""The first_row engine: the first row of a key stays. It has neither partial updates nor deletes."""

from __future__ import annotations


class FirstRowMerger:
    """The first row of a key stays."""

    ignores_old = False

    def upsert(self, old: bytes | None, new: bytes) -> bytes:
        return new if old is None else old

    def delete(self, old: bytes) -> bytes | None:
        raise AssertionError("tables with the first_row engine cannot allow deletes")
