"""Creates and refreshes the virtual environments of the project; does nothing when they are up to date.

`.venv`        the server (editable), pyfluss and the tools: everything that needs neither Flink nor Java.
`.venv-flink`  apache-flink with its pins, the server and the connector, installed as a user does it.
`.venv-docs`   what builds the documentation site.

Usage: environments.py server|flink|docs ...; several are refreshed at the same time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from connector_jar import build_if_stale
from fingerprint import ROOT, Stamp, fingerprint
from prerequisites import MissingPrerequisite, require_java, require_maven

_REQUIREMENTS = ROOT / "tools" / "requirements"
_PIP_TIMEOUT_SECONDS = 1800
_BUILDING = threading.Lock()
_DIRECTORIES = {"server": ".venv", "flink": ".venv-flink", "docs": ".venv-docs"}


@dataclass(frozen=True)
class Stage:
    """One installation into an environment: repeated only when the content of one of its inputs has changed."""

    name: str
    title: str
    inputs: tuple[Path, ...]
    pip_arguments: tuple[str, ...]
    builds: bool = False
    """Whether a distribution of the project is built, which leaves files in its directory meanwhile."""


def _stages(environment: str) -> Iterator[Stage]:
    server, connector = ROOT / "fluss-server", ROOT / "pyflink-connector"
    requirements = _REQUIREMENTS / f"{environment}.txt"
    if environment == "server":
        yield Stage(
            "requirements",
            "the server (editable), pyfluss and the tools",
            (requirements, server / "pyproject.toml"),
            ("-r", str(requirements), "-e", str(server)),
            builds=True,
        )
        return
    if environment == "docs":
        yield Stage("requirements", "MkDocs", (requirements,), ("-r", str(requirements)))
        return
    packages = "apache-flink and the demo's packages (some 600 MB on disk)"
    yield Stage("requirements", packages, (requirements,), ("-r", str(requirements)))
    yield Stage("server", "fluss-server", (server,), (str(server),), builds=True)
    jar = build_if_stale()
    yield Stage("connector", "pyflink-connector-fluss with its jar", (connector, jar), (str(connector),), builds=True)


def _create(directory: Path) -> Path:
    """Makes sure that `directory` is a virtual environment; returns its interpreter.

    An environment that works is kept, unless $PYTHON asks for another version than it has.
    """
    python = directory / "bin" / "python"
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    stamp = Stamp(directory / ".stamps" / "python")
    complete = stamp.path.exists() and python.exists()
    if complete and (stamp.matches(version) or not os.environ.get("PYTHON")):
        return python
    if directory.exists():
        print(f"    {directory.name} is not a usable environment of Python {version}: it is created again", flush=True)
        shutil.rmtree(directory)
    print(f"    creating {directory.name} with Python {version}", flush=True)
    subprocess.run([sys.executable, "-m", "venv", str(directory)], check=True, timeout=300)
    stamp.write(version)
    return python


def refresh(environment: str) -> None:
    """Brings the directory of an environment up to date."""
    if environment == "flink":
        require_java(compiler=True)
        require_maven()
    directory = ROOT / _DIRECTORIES[environment]
    python = _create(directory)
    earlier_stage_ran = False
    for stage in _stages(environment):
        stamp = Stamp(directory / ".stamps" / stage.name)
        wanted = fingerprint(stage.inputs, *stage.pip_arguments)
        if stamp.matches(wanted) and not earlier_stage_ran:
            continue
        stamp.clear()
        with _BUILDING if stage.builds else nullcontext():
            _install(directory, python, stage)
        stamp.write(wanted)
        earlier_stage_ran = True


def _install(directory: Path, python: Path, stage: Stage) -> None:
    started = time.monotonic()
    print(f"    {directory.name}: installing {stage.title}", flush=True)
    for source in filter(Path.is_dir, stage.inputs):
        # setuptools takes over what an earlier build left there, modules that no longer exist included.
        shutil.rmtree(source / "build", ignore_errors=True)
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *stage.pip_arguments]
    subprocess.run(command, check=True, timeout=_PIP_TIMEOUT_SECONDS)
    print(f"    {directory.name}: {stage.title} installed in {time.monotonic() - started:.0f} s", flush=True)


def main(arguments: list[str]) -> int:
    if not arguments or not set(arguments) <= _DIRECTORIES.keys():
        print(__doc__, file=sys.stderr)
        return 2
    try:
        with ThreadPoolExecutor(len(arguments)) as threads:
            list(threads.map(refresh, arguments))
    except MissingPrerequisite as missing:
        print(f"error: {missing}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as failure:
        print(f"error: `{' '.join(map(str, failure.cmd))}` failed with exit code {failure.returncode}", file=sys.stderr)
        return 1
    except subprocess.TimeoutExpired as slow:
        print(f"error: `{' '.join(map(str, slow.cmd))}` did not finish within {slow.timeout:.0f} s", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
