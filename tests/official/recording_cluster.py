"""A LocalCluster that knows which APIs its clients called."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import NamedTuple

from fluss_server.api.keys import ApiKey
from fluss_server.testing import LocalCluster

_SERVER = Path(__file__).with_name("recording_server.py")


OWN_CLIENT = "fluss-python"
"""What our own RpcClient calls itself; its calls are left out."""


class RecordedCall(NamedTuple):
    """One request, answered."""

    api: ApiKey
    version: int
    outcome: str


class RecordingCluster(LocalCluster):
    """Runs ``recording_server.py`` instead of the ``fluss`` command."""

    def __enter__(self) -> RecordingCluster:
        self.start()
        return self

    @property
    def replication_factor(self) -> int:
        """Of tables that do not say one."""
        return int(self._options.get("default.replication.factor", "1"))

    @property
    def record_file(self) -> Path:
        """Where the server writes down what it is asked."""
        return self.data_dir.with_name(self.data_dir.name + ".calls")

    def _command(self) -> list[str]:
        python, module_flag, module, *arguments = super()._command()
        assert (python, module_flag, module) == (sys.executable, "-m", "fluss_server")
        return [python, str(_SERVER), str(self.record_file), *arguments]

    def calls(self, since: int = 0) -> list[RecordedCall]:
        """The calls recorded after the first ``since`` bytes of the record."""
        with self.record_file.open("rb") as file:
            file.seek(since)
            lines = file.read().decode().splitlines()
        found = []
        for line in lines:
            name, key, api_version, outcome = json.loads(line)
            if name != OWN_CLIENT:
                found.append(RecordedCall(ApiKey(key), api_version, outcome))
        return found

    def position(self) -> int:
        """Bytes of the record so far."""
        return self.record_file.stat().st_size
