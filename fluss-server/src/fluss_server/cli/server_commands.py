"""Commands on the server itself: configuration, health."""

from __future__ import annotations

import argparse

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.cli.output import note, print_fields, print_rows
from fluss_server.cli.selection import assignments
from fluss_server.cli.session import Session
from fluss_server.config import SERVER_OPTIONS

_SET, _DELETE = 0, 1
_INITIAL = "INITIAL_SERVER_CONFIG"
_HEALTH = {0: "green", 1: "yellow", 2: "red"}


def show_config(session: Session, parsed: argparse.Namespace) -> None:
    """``fluss config list``"""
    response = session.call(ApiKey.DESCRIBE_CLUSTER_CONFIGS, pb.DescribeClusterConfigsRequest())
    rows = []
    for entry in response.configs:
        value = entry.config_value if entry.HasField("config_value") else None
        option = SERVER_OPTIONS.get(entry.config_key)
        is_default = option is not None and value == option.default and entry.config_source == _INITIAL
        rows.append((entry.config_key, value, "DEFAULT" if is_default else entry.config_source))
    rows.sort(key=lambda row: row[0])
    print_rows(("option", "value", "source"), rows, parsed.output)


def set_config(session: Session, parsed: argparse.Namespace) -> None:
    """``fluss config set``"""
    request = pb.AlterClusterConfigsRequest()
    for key, value in assignments(parsed.values).items():
        request.alter_configs.add(config_key=key, config_value=value, op_type=_SET)
    session.call(ApiKey.ALTER_CLUSTER_CONFIGS, request)
    note(f"set {', '.join(parsed.values)}")


def reset_config(session: Session, parsed: argparse.Namespace) -> None:
    """``fluss config reset``"""
    request = pb.AlterClusterConfigsRequest()
    for key in parsed.keys:
        request.alter_configs.add(config_key=key, op_type=_DELETE)
    session.call(ApiKey.ALTER_CLUSTER_CONFIGS, request)
    note(f"reset {', '.join(parsed.keys)}")


def health(session: Session, parsed: argparse.Namespace) -> int:
    """``fluss health``: exit code 0 when green."""
    response = session.call(ApiKey.GET_CLUSTER_HEALTH, pb.GetClusterHealthRequest())
    state = _HEALTH.get(response.status, "unknown")
    print_fields(
        {
            "state": state,
            "replicas": response.num_replicas,
            "in sync": response.in_sync_replicas,
            "leaders": response.num_leader_replicas,
            "active leaders": response.active_leader_replicas,
        },
        parsed.output,
    )
    return 0 if state == "green" else 1
