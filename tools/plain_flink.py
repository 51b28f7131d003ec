"""Lays out a plain Flink with our connector in its `lib/`, as a user does who downloads both.

Usage: plain_flink.py VERSION   prepares .flink/VERSION and prints its path.

The registries have no distribution of Flink, but its parts: the wheels of apache-flink and apache-flink-libraries hold
bin/, lib/ and opt/ (taken from .venv-flink when it has the version), and Maven has the SQL gateway, which sql-client.sh
needs and the wheels leave out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from connector_jar import build_if_stale
from fingerprint import ROOT
from prerequisites import MissingPrerequisite, require_java, require_maven

_DOWNLOAD_TIMEOUT_SECONDS = 900
_PARTS = ("bin", "lib", "opt")
_COPY_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.9.0:copy"


def plain_flink(version: str) -> Path:
    """Returns the home directory of a Flink of this version with the connector's present jar.

    Raises MissingPrerequisite without Java or Maven, subprocess.CalledProcessError when something cannot be had.
    """
    require_java(compiler=True)
    home = ROOT / ".flink" / version
    if not home.is_dir():
        home.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home.parent) as scratch:
            _lay_out(Path(scratch), version).rename(home)
    _put_connector(home / "lib", build_if_stale())
    return home


def _lay_out(scratch: Path, version: str) -> Path:
    fresh = scratch / "home"
    installed = next(ROOT.glob(f".venv-flink/lib/python*/site-packages/pyflink/lib/flink-dist-{version}.jar"), None)
    source = installed.parents[1] if installed else _downloaded(scratch, version)
    for part in _PARTS:
        shutil.copytree(source / part, fresh / part, copy_function=_link)
    gateway = f"org.apache.flink:flink-sql-gateway:{version}:jar"
    _run(
        [
            require_maven(),
            "--quiet",
            "--batch-mode",
            "-Dstyle.color=never",
            _COPY_GOAL,
            f"-Dartifact={gateway}",
            f"-DoutputDirectory={fresh / 'opt'}",
        ]
    )
    for script in (fresh / "bin").glob("*.sh"):
        script.chmod(0o755)
    return fresh


def _downloaded(scratch: Path, version: str) -> Path:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    wheels = [f"{name}=={version}" for name in ("apache-flink", "apache-flink-libraries")]
    _run([*pip, "--only-binary", ":all:", "--dest", str(scratch), *wheels])
    wanted = tuple(f"pyflink/{part}/" for part in _PARTS)
    for path in scratch.glob("*.whl"):
        with zipfile.ZipFile(path) as wheel:
            wheel.extractall(scratch / "wheels", [name for name in wheel.namelist() if name.startswith(wanted)])
    return scratch / "wheels" / "pyflink"


def _link(source: str, target: str) -> None:
    """Hard links save 200 MB where the file system has them."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _put_connector(lib: Path, jar: Path) -> None:
    for old in lib.glob("flink-sql-connector-fluss-*.jar"):
        old.unlink()
    shutil.copy2(jar, lib / jar.name)


def _run(command: list[str]) -> None:
    """Run a command; what it prints goes to standard error, because the only output of this tool is a path."""
    subprocess.run(command, check=True, stdout=sys.stderr, timeout=_DOWNLOAD_TIMEOUT_SECONDS)


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        print(plain_flink(arguments[0]))
    except (MissingPrerequisite, subprocess.CalledProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
