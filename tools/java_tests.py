"""Runs the connector's Java tests: unit tests, and those that need a server against one started for them."""

from __future__ import annotations

import subprocess
import sys

from fingerprint import ROOT
from prerequisites import MissingPrerequisite, require_java, require_maven

from fluss_server.testing import LocalCluster

_TIMEOUT_SECONDS = 900


def main() -> int:
    try:
        require_java(compiler=True)
        maven = require_maven()
    except MissingPrerequisite as missing:
        print(f"error: {missing}", file=sys.stderr)
        return 1
    with LocalCluster() as cluster:
        command = [maven, "--quiet", "--batch-mode", "-Dstyle.color=never", "-f", str(ROOT / "flink-sql" / "pom.xml")]
        command += [f"-Dfluss.bootstrap={cluster.bootstrap_servers}", "test"]
        try:
            return subprocess.run(command, check=False, timeout=_TIMEOUT_SECONDS).returncode
        except subprocess.TimeoutExpired:
            print(f"error: the Java tests did not end within {_TIMEOUT_SECONDS} s", file=sys.stderr)
            return 1


if __name__ == "__main__":
    sys.exit(main())
