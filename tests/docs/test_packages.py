"""The packages carry the licence, a long description and facts that agree with the project."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("fluss-server", "pyflink-connector")


@pytest.mark.parametrize("package", PACKAGES)
def test_the_licence_is_part_of_the_package(package: str) -> None:
    metadata = (ROOT / package / "pyproject.toml").read_text()
    assert 'license = "Apache-2.0"\nlicense-files = ["LICENSE"]\n' in metadata
    assert (ROOT / package / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


@pytest.mark.parametrize("package", PACKAGES)
def test_the_package_is_described(package: str) -> None:
    metadata = (ROOT / package / "pyproject.toml").read_text()
    assert "[project.urls]" in metadata
    assert "classifiers = [" in metadata
    assert len((ROOT / package / "README.md").read_text()) > 1_000


def test_the_long_description_shows_an_example_that_is_run() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "fluss-server" / "README.md").read_text(), re.DOTALL)
    assert f"<!-- test: testing -->\n```python\n{code}```" in (ROOT / "README.md").read_text()


def test_versions_of_python_agree() -> None:
    text = (ROOT / "fluss-server" / "pyproject.toml").read_text()
    versions = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', text)
    assert f'requires-python = ">={versions[0]}"' in text
    readme = (ROOT / "fluss-server" / "README.md").read_text()
    assert f"Python {versions[0]} to {versions[-1]}" in readme


def test_the_connector_has_no_compressor_with_a_known_hole() -> None:
    """CVE-2025-67721: aircompressor before 2.0.3 and 3.4 gives bytes of earlier data for a damaged buffer."""
    text = (ROOT / "flink-sql" / "pom.xml").read_text()
    (version,) = re.findall(r"<aircompressor.version>([\d.]+)</aircompressor.version>", text)
    assert tuple(map(int, version.split("."))) >= (2, 0, 3)
