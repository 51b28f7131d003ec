"""Builds the images of docker/, runs docker/compose.yaml with podman, kills two servers of it, and checks the results.

It needs root, podman, podman-compose and debootstrap, and no registry of images: the base images are made of Debian's
packages, of the wheels of apache-flink, and of jars from Maven. Grafana is not among these, so it is not started.

Usage: compose_test.py [--output DIRECTORY] [--orders 30000] [--rate 200] [--keep]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from connector_jar import build_if_stale
from fingerprint import ROOT
from official_jars import class_path
from plain_flink import plain_flink

FLINK_VERSION = "2.3.0"
PROJECT = "fluss"
SERVICES = (
    *("zookeeper", "coordinator-0", "coordinator-1", "tablet-server-0", "tablet-server-1", "tablet-server-2"),
    *("jobmanager", "taskmanager", "sql-client", "prometheus"),
)
SERVERS = tuple(name for name in SERVICES if name.startswith(("coordinator", "tablet-server")))
PRODUCTS = (("tea", 3), ("coffee", 5), ("milk", 2), ("bread", 4), ("apples", 7))
"""Name and price by product id, as in docker/flink/tables.sql."""

CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
PACKAGES = "podman buildah runc netavark aardvark-dns slirp4netns fuse-overlayfs iptables podman-compose debootstrap"
CONTAINERS_CONF = """
[engine]
runtime = "runc"
events_logger = "file"
[network]
network_backend = "netavark"
[containers]
default_ulimits = ["nofile=8192:8192", "nproc=8192:8192"]
log_driver = "k8s-file"
"""
DEADLINE_S = 300.0
ABSENCE_S = 10.0
"""How long a killed server stays away."""


class Transcript:
    """Says what happens, on standard output and in a file, with the seconds since the beginning."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w")
        self._begin = time.monotonic()

    def say(self, text: str) -> None:
        """Add lines."""
        line = f"[{time.monotonic() - self._begin:6.1f} s] {text}"
        print(line, flush=True)
        print(line, file=self._file, flush=True)


class Podman:
    """Podman with its images and containers in a directory of its own.

    Args:
        home: the directory; images in it are used again.
        transcript: gets every command.
    """

    def __init__(self, home: Path, transcript: Transcript) -> None:
        self._transcript = transcript
        (home / "bin").mkdir(parents=True, exist_ok=True)
        (home / "containers.conf").write_text(CONTAINERS_CONF)
        program = shutil.which("podman")
        if program is None or shutil.which("podman-compose") is None or shutil.which("debootstrap") is None:
            raise SystemExit(f"podman, podman-compose or debootstrap is missing: apt-get install {PACKAGES}")
        wrapper = home / "bin" / "podman"
        wrapper.write_text(f'#!/bin/sh\nexec {program} --root {home}/root --runroot {home}/run "$@"\n')
        wrapper.chmod(0o755)
        path = f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**os.environ, "CONTAINERS_CONF": str(home / "containers.conf"), "PATH": path}

    def run(self, *arguments: str, check: bool = True, quiet: bool = False) -> str:
        """Run ``podman`` and return what it printed."""
        return self.command(["podman", *arguments], check=check, quiet=quiet)

    def compose(self, *arguments: str, check: bool = True) -> str:
        """Run ``podman-compose`` with the compose file."""
        file = str(ROOT / "docker" / "compose.yaml")
        return self.command(["podman-compose", "-p", PROJECT, "-f", file, *arguments], check=check)

    def command(self, command: Sequence[str], *, check: bool = True, quiet: bool = False) -> str:
        """Run a command in the environment of podman."""
        if not quiet:
            self._transcript.say(f"$ {' '.join(command)}")
        result = subprocess.run(
            command, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if check and result.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{result.stdout[-4000:]}{result.stderr[-4000:]}")
        return result.stdout

    def has_image(self, name: str) -> bool:
        """Whether an image is there."""
        return bool(self.run("images", "--quiet", name, quiet=True).strip())

    def build(self, dockerfile: str, tag: str, context: Path, **arguments: str) -> None:
        """Build an image."""
        given = [part for key, value in arguments.items() for part in ("--build-arg", f"{key}={value}")]
        if CERTIFICATES.exists():
            given += ["--build-arg", "PIP_CERT=/certificates.crt", "-v", f"{CERTIFICATES}:/certificates.crt:ro"]
        self.run("build", "--quiet", "-f", str(ROOT / "docker" / dockerfile), "-t", tag, *given, str(context))


def container(service: str) -> str:
    """Name of the container of a service."""
    return f"{PROJECT}_{service}_1"


# ---------------------------------------------------------------------- images


def make_images(podman: Podman, scratch: Path) -> None:
    """Build everything that the compose file names, on bases that need no registry."""
    make_base(podman, "localhost/debian-python:bookworm", "ca-certificates,python3,python3-pip,python3-venv", scratch)
    make_base(podman, "localhost/debian-java:bookworm", "ca-certificates,openjdk-17-jre-headless", scratch)
    java = "localhost/debian-java:bookworm"
    if not podman.has_image("localhost/flink"):
        stage = scratch / "flink"
        shutil.copytree(plain_flink(FLINK_VERSION), stage / "flink")
        for connector in (stage / "flink" / "lib").glob("flink-sql-connector-fluss-*.jar"):
            connector.unlink()
        podman.build("test/flink.Dockerfile", f"localhost/flink:{FLINK_VERSION}", stage, BASE=java)
    if not podman.has_image("localhost/zookeeper"):
        stage = scratch / "zookeeper"
        (stage / "jars").mkdir(parents=True)
        for jar in class_path("zookeeper").split(os.pathsep):
            shutil.copy(jar, stage / "jars")
        podman.build("test/zookeeper.Dockerfile", "localhost/zookeeper:3.9.3", stage, BASE=java)
    if not podman.has_image("localhost/prometheus"):
        python = "localhost/debian-python:bookworm"
        podman.build("test/prometheus.Dockerfile", "localhost/prometheus:debian", scratch, BASE=python)
    build_if_stale()
    podman.build("server/Dockerfile", "localhost/fluss-server:0.1.0", ROOT, BASE="localhost/debian-python:bookworm")
    podman.build("flink/Dockerfile", "localhost/fluss-flink:0.1.0", ROOT, BASE=f"localhost/flink:{FLINK_VERSION}")
    podman.environment |= {
        "FLUSS_IMAGE": "localhost/fluss-server:0.1.0",
        "FLINK_IMAGE": "localhost/fluss-flink:0.1.0",
        "ZOOKEEPER_IMAGE": "localhost/zookeeper:3.9.3",
        "PROMETHEUS_IMAGE": "localhost/prometheus:debian",
    }


def make_base(podman: Podman, tag: str, packages: str, scratch: Path) -> None:
    """A minimal Debian with some packages."""
    if podman.has_image(tag):
        return
    root, archive = scratch / "debian", scratch / "debian.tar"
    podman.command(["debootstrap", "--variant=minbase", f"--include={packages}", "bookworm", str(root)])
    podman.command(["tar", "-C", str(root), "-cf", str(archive), "."])
    podman.run("import", str(archive), tag)
    shutil.rmtree(root)
    archive.unlink()


# ---------------------------------------------------------------------- the demo


def get(address: str) -> Any:
    """A JSON document over HTTP; None while nobody responds."""
    try:
        with urllib.request.urlopen(address, timeout=10) as response:
            return json.load(response)
    except (OSError, ValueError):
        return None


def wait_until(condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Wait for something, with a deadline."""
    deadline = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {deadline_s:.0f} s: {what}")
        time.sleep(1)


def jobs() -> dict[str, dict[str, Any]]:
    """Flink's jobs by name."""
    overview = get("http://127.0.0.1:8081/jobs/overview") or {"jobs": []}
    return {job["name"]: job for job in overview["jobs"]}


def states() -> dict[str, str]:
    """States of the jobs that read or write streams, by name."""
    return {name: job["state"] for name, job in jobs().items() if name in ("orders", "revenue by product")}


def health(podman: Podman, service: str) -> dict[str, Any]:
    """What a server says of its health; empty while it does not respond."""
    printed = podman.run("exec", container(service), "python", "/opt/fluss/healthy.py", check=False, quiet=True)
    try:
        found: dict[str, Any] = json.loads(printed)
    except ValueError:
        return {}
    return found


def kill_for_a_while(podman: Podman, transcript: Transcript, service: str) -> None:
    """SIGKILL, a pause, and a start."""
    podman.run("kill", "--signal", "KILL", container(service))
    time.sleep(ABSENCE_S)
    transcript.say(f"after {ABSENCE_S:.0f} s without {service}: jobs {states()}")
    podman.run("start", container(service), check=False)
    wait_until(lambda: bool(health(podman, service).get("ready")), f"{service} is healthy again")
    transcript.say(f"{service} is healthy again: {health(podman, service)}")


def result(podman: Podman) -> tuple[str, list[list[str]]]:
    """The tables that the SQL client prints, and their rows."""
    printed = podman.run("exec", container("sql-client"), "/opt/demo/demo.sh", "result", check=False, quiet=True)
    rows = [[cell.strip() for cell in line.strip("| \n").split("|")] for line in re.findall(r"^\|.*\|$", printed, re.M)]
    return "\n".join(re.findall(r"[+|][-+|].*[+|]$|^\|.*\|$", printed, re.M)), rows


def expected(orders: int) -> list[list[str]]:
    """The rows that both queries have to show, headers included."""
    rows = [["arrived", "different"], [str(orders), str(orders)], ["name", "orders", "total"]]
    for name, product in sorted((name, number) for number, (name, _) in enumerate(PRODUCTS)):
        ids = range(product, orders, len(PRODUCTS))
        total = sum((1 + number % 7) * PRODUCTS[product][1] for number in ids)
        rows.append([name, str(len(ids)), str(total)])
    return rows


def run_demo(podman: Podman, transcript: Transcript, output: Path, orders: int) -> None:
    """From the start of the containers to the checked result."""
    podman.compose("up", "-d", "--no-build", *SERVICES)
    wait_until(lambda: states() == {"orders": "RUNNING", "revenue by product": "RUNNING"}, "both jobs run")
    transcript.say(f"jobs: {states()}")
    for service in SERVERS:
        transcript.say(f"{service}: {health(podman, service)}")
    time.sleep(ABSENCE_S)

    leads = "fluss_tabletserver_leaderCount"
    wait_until(lambda: prometheus_value(leads, "tablet-server-1") > 0, "tablet-server-1 leads buckets")
    transcript.say(f"tablet-server-1 leads {prometheus_value(leads, 'tablet-server-1'):.0f} buckets")
    kill_for_a_while(podman, transcript, "tablet-server-1")
    active = [name for name in SERVERS if health(podman, name).get("state") == "active"]
    assert len(active) == 1, f"active coordinators: {active}"
    kill_for_a_while(podman, transcript, active[0])
    now_active = [name for name in SERVERS if health(podman, name).get("state") == "active"]
    assert len(now_active) == 1 and now_active != active, f"active coordinators: {now_active}"  # noqa: PT018
    screenshot(transcript, "http://127.0.0.1:8081/#/overview", output / "flink.png")

    wait_until(lambda: states().get("orders") == "FINISHED", "all orders are written", DEADLINE_S + orders)
    wanted = expected(orders)
    found: tuple[str, list[list[str]]] = ("", [])

    def complete() -> bool:
        nonlocal found
        found = result(podman)
        return found[1] == wanted

    with contextlib.suppress(SystemExit):
        wait_until(complete, "the result", 120)
    transcript.say(f"result:\n{found[0].strip()}")
    if found[1] != wanted:
        raise SystemExit(f"wrong result; expected {wanted}")
    for name, job in jobs().items():
        exceptions = get(f"http://127.0.0.1:8081/jobs/{job['jid']}/exceptions")["exceptionHistory"]["entries"]
        transcript.say(f"job {name!r}: {job['state']}, failures: {len(exceptions)}")
        assert not exceptions, exceptions
    check_prometheus(transcript)


def query(text: str) -> list[dict[str, Any]]:
    """What Prometheus has for an expression now."""
    document = get(f"http://127.0.0.1:9090/api/v1/query?query={text}")
    found: list[dict[str, Any]] = document["data"]["result"] if document else []
    return found


def prometheus_value(metric: str, server: str) -> float:
    """A metric of one server; -1 when Prometheus does not have it yet."""
    found = [entry for entry in query(metric) if entry["metric"]["instance"] == f"{server}:9249"]
    return float(found[0]["value"][1]) if found else -1.0


def check_prometheus(transcript: Transcript) -> None:
    """Prometheus gets the metrics of every server."""
    wait_until(
        lambda: sum(entry["value"][1] == "1" for entry in query("up")) == len(SERVERS), "all servers are scraped"
    )
    for metric in ("fluss_coordinator_activeCoordinatorCount", "fluss_tabletserver_leaderCount"):
        shown = {entry["metric"]["instance"]: entry["value"][1] for entry in query(metric)}
        transcript.say(f"{metric}: {shown}")
    assert sum(float(entry["value"][1]) for entry in query("fluss_coordinator_activeCoordinatorCount")) == 1


def screenshot(transcript: Transcript, address: str, target: Path) -> None:
    """A picture of a page, where there is a Chromium."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        transcript.say("there is no Chromium for a picture of Flink's page")
        return
    options = [
        "--headless",
        "--no-sandbox",
        "--hide-scrollbars",
        "--window-size=1400,900",
        "--virtual-time-budget=8000",
    ]
    with tempfile.TemporaryDirectory() as profile:
        command = [program, *options, f"--user-data-dir={profile}", f"--screenshot={target}", address]
        subprocess.run(command, capture_output=True, check=False, timeout=120)
    transcript.say(f"picture of {address}: {target.name}")


def main() -> int:
    """Run everything; what was started is removed, whatever happens."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("compose-output"))
    parser.add_argument("--home", type=Path, help="where podman keeps its images (default: OUTPUT/podman)")
    parser.add_argument("--orders", type=int, default=20_000)
    parser.add_argument("--rate", type=int, default=200)
    parser.add_argument("--keep", action="store_true", help="leave the containers running")
    arguments = parser.parse_args()
    output: Path = arguments.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    transcript = Transcript(output / "transcript.txt")
    podman = Podman((arguments.home or output / "podman").resolve(), transcript)
    with tempfile.TemporaryDirectory(prefix="compose-") as scratch:
        make_images(podman, Path(scratch))
    podman.environment |= {"ORDERS": str(arguments.orders), "RATE": str(arguments.rate)}
    podman.compose("down", "--volumes", check=False)
    try:
        run_demo(podman, transcript, output, arguments.orders)
        transcript.say("the demo is correct")
    finally:
        for service in SERVICES:
            log = podman.command(["sh", "-c", f"podman logs {container(service)} 2>&1"], check=False, quiet=True)
            (output / f"{service}.log").write_text(log)
        if not arguments.keep:
            podman.compose("down", "--volumes", check=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
