"""Official artifacts for tests, through Maven, and our own small Java programs beside them. All of it in target/."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

JAVA = Path(__file__).parent / "java"
TARGET = JAVA / "target"
_MAVEN_TIMEOUT_S = 900
_JAVAC_TIMEOUT_S = 120


def classpath(artifact: str, version: str) -> list[Path]:
    """The jars of ``org.apache.fluss:{artifact}:{version}`` and what it needs."""
    found = TARGET / f"{artifact}-{version}.classpath"
    if found.is_file():
        jars = [Path(entry) for entry in found.read_text().split(":")]
        if all(jar.is_file() for jar in jars):
            return jars
    maven = shutil.which("mvn")
    assert maven is not None, "Maven is needed, see tools/prerequisites.py"
    command = [maven, "--quiet", "--batch-mode", "-Dstyle.color=never", "-f", str(JAVA / "pom.xml")]
    command += [f"-Dofficial.artifact={artifact}", f"-Dofficial.version={version}"]
    command += ["dependency:build-classpath", f"-Dmdep.outputFile={found}"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=_MAVEN_TIMEOUT_S, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return [Path(entry) for entry in found.read_text().split(":")]


def compiled(name: str, directories: Sequence[Path], jars: Sequence[Path]) -> Path:
    """The directory of classes made from all sources in ``directories``; compiled again when they have changed."""
    sources = sorted(source for directory in directories for source in directory.rglob("*.java"))
    digest = hashlib.sha256()
    for path in sources:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    classes = TARGET / f"{name}-{digest.hexdigest()[:16]}"
    if classes.is_dir():
        return classes
    javac = shutil.which("javac")
    assert javac is not None, "a JDK is needed, see tools/prerequisites.py"
    fresh = classes.with_name(classes.name + ".fresh")
    command = [javac, "--release", "11", "-nowarn", "-d", str(fresh)]
    command += ["-cp", ":".join(map(str, jars))] if jars else []
    result = subprocess.run(
        [*command, *map(str, sources)], capture_output=True, text=True, timeout=_JAVAC_TIMEOUT_S, check=False
    )
    assert result.returncode == 0, result.stderr
    for old in TARGET.glob(f"{name}-{'[0-9a-f]' * 16}"):
        shutil.rmtree(old, ignore_errors=True)
    fresh.rename(classes)
    return classes
