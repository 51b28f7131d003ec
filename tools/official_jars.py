"""Class paths of official programs: the server, ZooKeeper, the Java client. Their jars come from Maven."""

from __future__ import annotations

import os
import subprocess
import sys

from fingerprint import ROOT, Stamp, fingerprint
from prerequisites import require_java, require_maven

PROJECT = ROOT / "benchmarks" / "official"
_TARGET = PROJECT / "target"
_MAVEN_TIMEOUT_S = 1800


def class_path(profile: str) -> str:
    """Class path of a profile of ``official/pom.xml``: server, zookeeper or client; Maven fetches what is missing.

    Raises:
        MissingPrerequisite: without Java or Maven.
        subprocess.CalledProcessError: when Maven fails.
    """
    output = _TARGET / f"{profile}.classpath"
    stamp = Stamp(_TARGET / f".{profile}-stamp")
    wanted = fingerprint([PROJECT / "pom.xml"])
    if stamp.matches(wanted) and output.is_file():
        jars = output.read_text().strip()
        if all(map(os.path.exists, jars.split(os.pathsep))):
            return jars
    require_java(compiler=True)
    command = [require_maven(), "--quiet", "--batch-mode", "-Dstyle.color=never", "-f", str(PROJECT / "pom.xml")]
    command += ["-P", profile, "dependency:build-classpath", f"-Dmdep.outputFile={output}"]
    subprocess.run(command, check=True, timeout=_MAVEN_TIMEOUT_S, stdout=sys.stderr)
    stamp.write(wanted)
    return output.read_text().strip()
