"""The compose file of the demo is valid, and its containers may do no more than they need."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec.models import ComposeSpecification

DOCKER = Path(__file__).resolve().parents[2] / "docker"
DOCUMENT: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = DOCUMENT["services"]


def test_it_follows_the_specification() -> None:
    ComposeSpecification.model_validate(DOCUMENT)


def test_it_has_the_whole_cluster() -> None:
    assert sum(name.startswith("coordinator-") for name in SERVICES) == 2
    assert sum(name.startswith("tablet-server-") for name in SERVICES) == 3
    assert {"zookeeper", "jobmanager", "taskmanager", "sql-client", "prometheus", "grafana"} <= SERVICES.keys()


@pytest.mark.parametrize("name", SERVICES)
def test_containers_are_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert "depends_on" not in service, "services start in any order"
    for port in service.get("ports", ()):
        assert port.startswith("127.0.0.1:")
    if "user" in service:
        assert not re.match("(0|root)(:|$)", service["user"])
    else:
        assert user_of(service) not in (None, "0", "root")


def user_of(service: dict[str, Any]) -> str | None:
    """The user that the image of a service ends with."""
    users = re.findall(r"^USER (\d+)", (DOCKER.parent / service["build"]["dockerfile"]).read_text(), re.M)
    return users[-1] if users else None


@pytest.mark.parametrize("name", SERVICES)
def test_images_have_exact_versions(name: str) -> None:
    service = SERVICES[name]
    images = [service["image"], *service.get("build", {}).get("args", {}).values()]
    for image in images:
        default = re.fullmatch(r"\$\{\w+:-(.*)\}", image)
        assert default is not None, f"{image} can be replaced"
        assert re.search(r":v?\d+\.\d+\.\d+", default[1]), image


def test_every_server_is_scraped() -> None:
    scraped = (DOCKER / "prometheus" / "prometheus.yml").read_text()
    for name in SERVICES:
        if name.startswith(("coordinator-", "tablet-server-")):
            assert f"- {name}:9249\n" in scraped


def test_python_packages_have_exact_versions() -> None:
    requirements = (DOCKER / "server" / "requirements.txt").read_text()
    names = set()
    for line in requirements.splitlines():
        if not line.startswith("#"):
            name, _, version = line.partition("==")
            assert re.fullmatch(r"[\d.]+", version), line
            names.add(name)
    text = (DOCKER.parent / "fluss-server" / "pyproject.toml").read_text()
    wanted = set(
        re.findall(r'^    "([\w-]+)(?:[><=;]|",)', text.partition("dependencies = [")[2].partition("]")[0], re.M)
    )
    assert len(wanted) > 10
    assert wanted <= names
