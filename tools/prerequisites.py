"""What the project cannot install by itself: a Java development kit (17 or 21) and Maven (3.6.3 or newer)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

MINIMUM_JAVA = 17
MINIMUM_MAVEN = (3, 6, 3)


class MissingPrerequisite(Exception):
    """Something that has to be installed on the machine first; the message says what and how."""


def _run(command: list[str]) -> str:
    completed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return completed.stdout + completed.stderr


def _java_program(name: str) -> str | None:
    home = os.environ.get("JAVA_HOME")
    return shutil.which(name, path=os.path.join(home, "bin")) if home else shutil.which(name)


def _major_version(output: str) -> int | None:
    # `openjdk version "17.0.15"`, `java version "1.8.0_392"`, `javac 21.0.2`
    match = re.search(r'(?:version "|javac )(\d+)(?:\.(\d+))?', output)
    if match is None:
        return None
    major = int(match[1])
    return int(match[2] or 0) if major == 1 else major


def require_java(*, compiler: bool) -> int:
    """Returns Java's major version; raises MissingPrerequisite if it is absent, too old or without its compiler."""
    where = f" in JAVA_HOME={os.environ['JAVA_HOME']}" if os.environ.get("JAVA_HOME") else " on the PATH"
    advice = f"install a JDK {MINIMUM_JAVA} or 21 (Debian, Ubuntu: openjdk-17-jdk-headless), or point JAVA_HOME at one"
    for name in ("java", "javac") if compiler else ("java",):
        program = _java_program(name)
        if program is None:
            raise MissingPrerequisite(f"no `{name}` found{where}: {advice}")
        version = _major_version(_run([program, "-version"]))
        if version is None or version < MINIMUM_JAVA:
            raise MissingPrerequisite(
                f"`{program}` is version {version or 'unknown'}, {MINIMUM_JAVA} or newer is needed: {advice}"
            )
    return version or 0


def require_maven() -> str:
    """Returns the path of Maven; raises MissingPrerequisite when it is absent or too old."""
    advice = "install Maven 3.6.3 or newer (Debian, Ubuntu: maven)"
    program = shutil.which("mvn")
    if program is None:
        raise MissingPrerequisite(f"no `mvn` found on the PATH: {advice}")
    match = re.search(r"Apache Maven (\d+)\.(\d+)\.(\d+)", _run([program, "-version"]))
    version = tuple(int(part) for part in match.groups()) if match else None
    if version is None or version < MINIMUM_MAVEN:
        raise MissingPrerequisite(f"`{program}` is version {'.'.join(map(str, version or ())) or 'unknown'}: {advice}")
    return program


def main() -> int:
    """Says what is missing; silent when nothing is."""
    try:
        require_java(compiler=True)
        require_maven()
    except MissingPrerequisite as missing:
        print(f"error: {missing}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
