"""Servers of Apache Fluss 0.9.1-incubating for the same chaos; their jars come from Maven."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from chaos.servers import Kind, Launch, Server
from zookeeper_support import official_class_path

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

from official import COORDINATOR, TABLET_SERVER, java_command


class OfficialServers(Kind):
    """Version 0.9.1 knows one coordinator only."""

    name = "Apache Fluss 0.9.1-incubating"
    coordinators = 1

    def __init__(self) -> None:
        self._class_path = official_class_path("server")

    def launch(self, server: Server, options: Mapping[str, str]) -> Launch:
        lines = {**options, "remote.data.dir": f"{server.directory.parent}/remote"}
        if server.role == "tablet-server":
            lines["data.dir"] = str(server.data)
        text = "".join(f"{key}: {value}\n" for key, value in lines.items())
        (server.directory / "server.yaml").write_text(text)
        main = COORDINATOR if server.role == "coordinator" else TABLET_SERVER
        command = java_command(main, ["--configDir", str(server.directory)], self._class_path, server.directory)
        return Launch(command, {}, watches_input=False)
