"""The table of rules is complete."""

from __future__ import annotations

import re
from pathlib import Path

import fluss_server
from fluss_server.api.keys import ApiKey
from fluss_server.model.acl import CLUSTER, Resource
from fluss_server.security.rules import RULES

SOURCES = Path(fluss_server.__file__).parent


def test_every_rpc_in_the_sources_has_a_rule() -> None:
    found = {
        ApiKey[name]
        for path in SOURCES.rglob("*.py")
        for name in re.findall(r"@rpc\(\s*ApiKey\.(\w+)", path.read_text())
    }
    assert len(found) > 30
    assert sorted(key.name for key in found - set(RULES)) == [], "say in security/rules.py what it asks of its caller"


def test_names_of_resources() -> None:
    assert str(CLUSTER) == "Resource{type=CLUSTER, name='fluss-cluster'}"
    assert Resource.database("d").enclosing() == (Resource.database("d"), CLUSTER)
