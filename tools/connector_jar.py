"""Builds the connector jar with Maven when its sources have changed since the jar was made.

Usage: connector_jar.py [--force]   builds if needed and prints the path of the jar.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from fingerprint import ROOT, Stamp, fingerprint
from prerequisites import MissingPrerequisite, require_java, require_maven

_PROJECT = ROOT / "flink-sql"
# The protobuf classes of the jar are generated from the server's message definitions.
_INPUTS = (
    _PROJECT / "pom.xml",
    _PROJECT / "src" / "main",
    ROOT / "fluss-server" / "src" / "fluss_server" / "api" / "fluss.proto",
)
_TARGET = _PROJECT / "target"
_BUILD_TIMEOUT_SECONDS = 1800


def find_jar() -> Path | None:
    """Returns the shaded jar in flink-sql/target, or None; Maven's by-products (sources, tests) do not count."""
    by_products = ("-sources.jar", "-javadoc.jar", "-tests.jar", "-shaded.jar")
    jars = [jar for jar in _TARGET.glob("flink-sql-connector-fluss-*.jar") if not jar.name.endswith(by_products)]
    return max(jars, key=lambda jar: jar.stat().st_mtime) if jars else None


def build_if_stale(*, force: bool = False) -> Path:
    """Returns the path of a jar that corresponds to the present sources.

    Raises MissingPrerequisite without a JDK or Maven, subprocess.CalledProcessError when the build fails.
    """
    stamp = Stamp(_TARGET / ".jar-stamp")
    wanted = fingerprint(_INPUTS)
    jar = find_jar()
    if jar is not None and stamp.matches(wanted) and not force:
        return jar
    require_java(compiler=True)
    maven = require_maven()
    started = time.monotonic()
    print(
        "    building the connector jar with Maven (the first time it downloads its dependencies)",
        file=sys.stderr,
        flush=True,
    )
    stamp.clear()
    command = [
        maven,
        "--quiet",
        "--batch-mode",
        "-Dstyle.color=never",
        "-f",
        str(_PROJECT / "pom.xml"),
        "package",
        "-Dmaven.test.skip=true",
    ]
    # Standard output is left to the path of the jar.
    subprocess.run(command, check=True, timeout=_BUILD_TIMEOUT_SECONDS, stdout=sys.stderr)
    jar = find_jar()
    if jar is None:
        raise MissingPrerequisite(f"Maven finished, but {_TARGET} holds no flink-sql-connector-fluss jar")
    stamp.write(wanted)
    size_mb, seconds = jar.stat().st_size / 1e6, time.monotonic() - started
    print(f"    {jar.relative_to(ROOT)}: {size_mb:.1f} MB, built in {seconds:.0f} s", file=sys.stderr, flush=True)
    return jar


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--force"]):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        print(build_if_stale(force=bool(arguments)))
    except MissingPrerequisite as missing:
        print(f"error: {missing}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as failure:
        print(f"error: Maven failed with exit code {failure.returncode}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
