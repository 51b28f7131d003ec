"""How many bytes the definitions of all databases and tables take in the metadata store. Pure."""

from __future__ import annotations

from fluss_server.errors import ErrorCode, FlussError

MAX_TOTAL_BYTES = 256 << 20
"""Of all definitions. The store and the catalog keep them in memory, each in its form."""

Key = str | int
"""Name of a database, or id of a table."""


class DefinitionSizes:
    """Sizes of what is stored: of a table with all versions of its schema."""

    def __init__(self) -> None:
        self._sizes: dict[Key, int] = {}
        self.total_bytes = 0

    def get(self, key: Key) -> int:
        """Bytes of a database or table; 0 when there is none."""
        return self._sizes.get(key, 0)

    def check(self, key: Key, size_bytes: int) -> None:
        """Whether a definition may take so many bytes. What does not grow may stay, whatever the total.

        Raises:
            FlussError: ``OPERATION_NOT_ATTEMPTED_EXCEPTION``.
        """
        total = self.total_bytes - self.get(key) + size_bytes
        if size_bytes > self.get(key) and total > MAX_TOTAL_BYTES:
            raise FlussError(
                ErrorCode.OPERATION_NOT_ATTEMPTED_EXCEPTION,
                f"the definitions of all databases and tables would take {total} bytes, more than {MAX_TOTAL_BYTES}",
                hint="drop some, or make their comments and properties shorter",
            )

    def set(self, key: Key, size_bytes: int) -> None:
        """A definition was read or written."""
        self.total_bytes += size_bytes - self.get(key)
        self._sizes[key] = size_bytes

    def forget(self, key: Key) -> None:
        """A definition is gone."""
        self.total_bytes -= self._sizes.pop(key, 0)
