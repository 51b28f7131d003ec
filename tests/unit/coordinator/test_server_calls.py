"""Registrations, and the connections that they need."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

from coordinator_support import RecordingTabletServer, running
from error_support import refused
from fluss_server.api.keys import ApiKey
from fluss_server.cluster import server_codecs
from fluss_server.cluster.messages import RegisterServer, ServerNode
from fluss_server.cluster.remote_tablet_server import RemoteTabletServer
from fluss_server.config import SERVER_OPTIONS
from fluss_server.config.dynamic import DynamicConfiguration
from fluss_server.coordinator.server_calls import ServerCalls
from fluss_server.coordinator.settings_distribution import SettingsDistribution
from fluss_server.errors import ErrorCode
from fluss_server.model.acl import AclEntry, Resource
from fluss_server.rpc.service import RequestContext
from rpc_support import async_test


class Reached(RecordingTabletServer):
    """The way to a tablet server."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = False

    async def close(self) -> None:
        self.closed = True


@async_test
async def test_a_refused_registration_changes_nothing_for_the_member(tmp_path: Path) -> None:
    ways: list[Reached] = []

    def reach(registration: RegisterServer) -> RemoteTabletServer:
        ways.append(Reached())
        return cast("RemoteTabletServer", ways[-1])

    async with running(tmp_path / "m") as parts:
        no_entries: Mapping[Resource, frozenset[AclEntry]] = {}
        settings = SettingsDistribution(
            DynamicConfiguration(SERVER_OPTIONS, {}), lambda: no_entries, parts.controller.tell_settings
        )
        parts.controller.distribute_settings(settings, checks_permissions=True)
        calls = ServerCalls(parts.controller, reach)

        async def register(incarnation: str, version: str, *, checks: bool) -> None:
            registration = RegisterServer(ServerNode(4), incarnation, fluss_version=version, checks_permissions=checks)
            request = server_codecs.encode_register_server(registration)
            await calls.register_server(request, RequestContext(ApiKey.REGISTER_SERVER))

        other = register("other", "2", checks=False)
        assert await refused(other) is ErrorCode.INVALID_CONFIG_EXCEPTION
        assert ways[0].closed, "nobody uses it"
        await register("first", "1", checks=True)
        other = register("other", "2", checks=False)
        assert await refused(other) is ErrorCode.INVALID_CONFIG_EXCEPTION
        assert [way.closed for way in ways] == [True, False, True]
        assert parts.controller.versions[4] == "1"
        await register("first", "1", checks=True)
        assert len(ways) == 3, "the way to the member is known"
        await register("second", "2", checks=True)
        assert [way.closed for way in ways] == [True, True, True, False]
        assert parts.controller.versions[4] == "2"
