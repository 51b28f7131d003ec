"""A disk that drops unsynced writes, for a real server: see ``lossy_disk.c``."""

from __future__ import annotations

import atexit
import functools
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_suffix(".c")
_KEYS = "import os, sys\nfor path, names, files in os.walk(sys.argv[1]):\n" + (
    "    for each in [path, *(os.path.join(path, file) for file in files)]:\n"
    "        fd = os.open(each, os.O_RDONLY); os.fsync(fd); os.close(fd)\n"
)


class LossyDisk:
    """One directory on it, which changes with every loss of power.

    Args:
        home: a directory of its own.
        seed: of the choices.

    Attributes:
        data: the directory; for the server to use.
        ignored: name of directories whose syncs count for nothing, as if the server had left them out; for processes
            that are started from now on.
    """

    def __init__(self, home: Path, seed: int) -> None:
        if shutil.which("cc") is None or sys.platform != "linux":
            pytest.skip("the lossy disk needs Linux and a C compiler")
        self._home = home
        self._random = random.Random(seed)
        self._number = 0
        self.ignored: str | None = None
        self._library = _library()
        self.data = home / "data-0"
        self.data.mkdir()
        self._note_everything()

    @property
    def environment(self) -> dict[str, str]:
        """Variables for the server."""
        found = {"LD_PRELOAD": str(self._library), "LOSSY_ROOT": str(self.data), "LOSSY_NOTES": str(self._notes)}
        return found if self.ignored is None else {**found, "LOSSY_IGNORED": self.ignored}

    def hold_syncs(self) -> None:
        """Let every sync that begins from now on wait, until power is lost."""
        (self._notes / "hold").touch()

    def settle(self) -> None:
        """All that is there is durable, as after a ``sync`` of the whole disk; the server must be dead."""
        shutil.rmtree(self._notes)
        self._note_everything()

    def fail(self, number: int, *, writes: bool = False, syncs: bool = False) -> None:
        """Let operations fail with this ``errno``, until :meth:`mend` or the loss of power."""
        new = self._notes / "fail.new"
        new.write_text(f"{number} {'w' * writes}{'s' * syncs}")
        new.rename(self._notes / "fail")

    def mend(self) -> None:
        """End what :meth:`fail` began."""
        (self._notes / "fail").unlink(missing_ok=True)

    @property
    def _notes(self) -> Path:
        return self._home / f"notes-{self._number}"

    def lose_power(self, *, everything: bool) -> None:
        """Make :attr:`data` what could be found after the loss of power; the server must be dead.

        Args:
            everything: whether all that was not synced is lost; else any part of it may be there.
        """
        old_data, old_notes = self.data, self._notes
        self._number += 1
        self.data = self._home / f"data-{self._number}"
        self._rebuild(old_data, self.data, old_notes, everything)
        shutil.rmtree(old_data)
        shutil.rmtree(old_notes)
        self._note_everything()

    def _note_everything(self) -> None:
        """What is there is durable."""
        for kind in ("files", "names"):
            (self._notes / kind).mkdir(parents=True)
        environment = {**os.environ, **self.environment}
        environment.pop("LOSSY_IGNORED", None)
        subprocess.run([sys.executable, "-c", _KEYS, str(self.data)], env=environment, check=True)

    def _rebuild(
        self, source: Path | None, target: Path, notes: Path, everything: bool, key: str | None = None
    ) -> None:
        """Make the directory that has this key, and was ``source``, unless its name is gone."""
        target.mkdir()
        present = _entries(source) if source is not None else {}
        note = notes / "names" / (key or _key(self._home, source))
        durable = {}
        for line in note.read_text().splitlines() if note.exists() else ():
            kind, entry_key, name = line.split(" ", 2)
            durable[name] = (kind, entry_key)
        for name in sorted({*durable, *present}):
            before, after = durable.get(name), present.get(name)
            chosen = before if everything or self._random.random() < 0.5 else after
            if chosen is None:
                continue
            kind, entry_key = chosen
            live = source / name if source is not None and after == chosen else None
            if kind == "d":
                self._rebuild(live, target / name, notes, everything, entry_key)
            else:
                content = self._content(live, notes / "files" / entry_key, everything)
                (target / name).write_bytes(content)

    def _content(self, live: Path | None, noted: Path, everything: bool) -> bytes:
        durable = noted.read_bytes() if noted.exists() else b""
        if everything or live is None:
            return durable
        present = live.read_bytes()
        if present.startswith(durable):
            return present[: self._random.randint(len(durable), len(present))]
        return self._random.choice([durable, present])


@functools.cache
def _library() -> Path:
    """The C part, compiled; until the end of this process."""
    directory = tempfile.TemporaryDirectory(prefix="lossy-disk-")
    atexit.register(directory.cleanup)
    library = Path(directory.name) / "lossy_disk.so"
    command = ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(library), str(SOURCE)]
    subprocess.run([*command, "-ldl", "-lpthread"], check=True)
    return library


def _key(home: Path, path: Path | None) -> str:
    assert path is not None, "only directories that are gone come with their key"
    return _entries(home)[path.name][1]


def _entries(directory: Path) -> dict[str, tuple[str, str]]:
    """Kind and key of each entry, as the C part makes them."""
    command = ["stat", "--format=%F|%i|%W|%w|%n", "--", *sorted(os.listdir(directory))]
    if len(command) == 3:
        return {}
    output = subprocess.run(command, cwd=directory, check=True, capture_output=True, text=True).stdout
    found = {}
    for line in output.splitlines():
        kind, inode, seconds, born, name = line.split("|", 4)
        fraction = born.split(".")[1].split(" ")[0]
        found[name] = ("d" if kind == "directory" else "f", f"{inode}-{seconds}.{fraction}")
    return found
