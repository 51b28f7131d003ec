"""Puts the connector jar into the wheel as `pyflink/lib/<jar>`, where PyFlink looks for connectors.

The jar is, in this order: the file named by FLUSS_CONNECTOR_JAR; the one in `jars/` (a source distribution carries it
there, so that it can be installed without Java tools); the one in `../flink-sql/target` (a checkout), built with Maven
first if it is absent or older than its sources. An editable install carries no jar: `pyflink_fluss.add_jar` finds it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

HERE = Path(__file__).resolve().parent
MAVEN_PROJECT = HERE.parent / "flink-sql"
MESSAGES = HERE.parent / "fluss-server" / "src" / "fluss_server" / "api" / "fluss.proto"
PATTERN = "flink-sql-connector-fluss-*.jar"
BUILD_TIMEOUT_SECONDS = 1800


def newest_jar(directory: Path) -> Path | None:
    """Returns the newest connector jar in `directory`; jars of sources, documentation or tests do not count."""
    others = ("-sources.jar", "-javadoc.jar", "-tests.jar", "-shaded.jar")
    jars = [jar for jar in directory.glob(PATTERN) if not jar.name.endswith(others)]
    return max(jars, key=lambda jar: jar.stat().st_mtime, default=None)


def is_stale(jar: Path) -> bool:
    """True when a source of the jar is newer than the jar."""
    sources = [MAVEN_PROJECT / "pom.xml", MESSAGES, *(MAVEN_PROJECT / "src" / "main").rglob("*")]
    built = jar.stat().st_mtime
    return any(source.is_file() and source.stat().st_mtime > built for source in sources)


def build_with_maven() -> None:
    """Builds the jar in the checkout; ends with an explanation when Maven is absent or fails."""
    maven = shutil.which("mvn")
    if maven is None:
        sys.exit(
            "error: pyflink-connector-fluss needs its connector jar, and no Maven is on the PATH to build it.\n"
            "hint: install Maven and a JDK 17, or set FLUSS_CONNECTOR_JAR to a flink-sql-connector-fluss jar."
        )
    command = [maven, "--quiet", "--batch-mode", "-Dstyle.color=never", "-f", str(MAVEN_PROJECT / "pom.xml")]
    command += ["package", "-Dmaven.test.skip=true"]
    print(f"building the connector jar: {' '.join(command)}", flush=True)
    status = subprocess.run(command, check=False, timeout=BUILD_TIMEOUT_SECONDS).returncode
    if status != 0:
        sys.exit(f"error: Maven could not build the connector jar (exit code {status}); its messages stand above.")


def locate_jar() -> Path:
    """Returns the jar to package (see the top of this file) or ends with an explanation."""
    named = os.environ.get("FLUSS_CONNECTOR_JAR")
    if named:
        jar = Path(named)
        if not jar.is_file():
            sys.exit(f"error: FLUSS_CONNECTOR_JAR={named} is not a file.")
        return jar
    carried = newest_jar(HERE / "jars")
    if carried is not None:
        return carried
    if not (MAVEN_PROJECT / "pom.xml").is_file():
        sys.exit(
            f"error: no connector jar in {HERE / 'jars'} and no Maven project at {MAVEN_PROJECT} to build it from.\n"
            "hint: install from a complete checkout, or set FLUSS_CONNECTOR_JAR to a flink-sql-connector-fluss jar."
        )
    built = newest_jar(MAVEN_PROJECT / "target")
    if built is None or is_stale(built):
        build_with_maven()
        built = newest_jar(MAVEN_PROJECT / "target")
    if built is None:
        sys.exit(f"error: Maven finished, but {MAVEN_PROJECT / 'target'} holds no {PATTERN}.")
    return built


class BuildWithJar(build_py):
    """Adds the jar to what is built, except for editable installs, which have no place for it."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "pyflink" / "lib"
            target.mkdir(parents=True, exist_ok=True)
            for earlier in target.glob(PATTERN):
                earlier.unlink()
            shutil.copy2(locate_jar(), target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        jars = (Path(self.build_lib) / "pyflink" / "lib").glob(PATTERN)
        return [*super().get_outputs(include_bytecode), *(str(jar) for jar in jars)]


class SourceWithJar(sdist):
    """Adds the jar as `jars/<jar>`."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        target = Path(base_dir) / "jars"
        target.mkdir(exist_ok=True)
        shutil.copy2(locate_jar(), target)


setup(cmdclass={"build_py": BuildWithJar, "sdist": SourceWithJar})
