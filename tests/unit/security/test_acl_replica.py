"""Permissions on a tablet server: what the coordinator sent, and only while that is new enough."""

from __future__ import annotations

import pytest

from fluss_server.cluster.messages import ControlStamp, Registered
from fluss_server.cluster.settings_update import ResourceAcls, UpdateSettings
from fluss_server.config import SERVER_OPTIONS
from fluss_server.config.dynamic import DynamicConfiguration
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.acl import AclEntry, Operation, Permission, Resource, ResourceType
from fluss_server.model.principal import Principal
from fluss_server.runtime.clock import ManualClock
from fluss_server.security.acl_replica import AclReplica
from fluss_server.tablet.cluster_settings import ClusterSettings

ADMIN, BOB = Principal("User", "admin"), Principal("User", "bob")
TABLE, OTHER = Resource(ResourceType.TABLE, "d.t"), Resource(ResourceType.TABLE, "d.other")
ENTRY = AclEntry(BOB, "*", Operation.READ, Permission.ALLOW)
MAX_AGE_MS = 10_000


class Server:
    """The part of a tablet server that knows settings."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.acls = AclReplica([ADMIN], ignore_case=False, monotonic=self.clock.monotonic, max_age_s=MAX_AGE_MS / 1000)
        self.configuration = DynamicConfiguration(SERVER_OPTIONS, {})
        self.settings = ClusterSettings(self.configuration, self.acls, self.clock)

    def update(self, version: int, *acls: ResourceAcls, snapshot: bool = False, epoch: int = 0) -> None:
        self.settings.update(UpdateSettings(epoch, version, None, acls, snapshot))

    def heartbeat(self, version: int, epoch: int = 0) -> None:
        self.settings.heard(self.clock.monotonic(), Registered(epoch, 2000, version))

    def reads(self, resource: Resource = TABLE, principal: Principal = BOB) -> bool:
        return self.acls.allows(principal, "127.0.0.1", Operation.READ, resource)

    def is_outdated(self) -> bool:
        assert self.reads(principal=ADMIN), "super users are those of the server's own options"
        try:
            self.reads()
        except FlussError as error:
            return error.code is ErrorCode.NETWORK_EXCEPTION
        return False


def test_nothing_is_served_without_a_snapshot() -> None:
    server = Server()
    assert server.is_outdated()
    server.update(1, ResourceAcls(TABLE, frozenset({ENTRY})))
    server.heartbeat(1)
    assert server.is_outdated(), "a change is not everything"
    server.update(2, ResourceAcls(TABLE, frozenset({ENTRY})), snapshot=True)
    assert server.reads()
    assert not server.reads(OTHER)


def test_a_change_counts_at_once_and_a_snapshot_removes_what_is_not_in_it() -> None:
    server = Server()
    server.update(1, ResourceAcls(TABLE, frozenset({ENTRY})), snapshot=True)
    assert server.reads()
    server.update(2, ResourceAcls(TABLE, frozenset()), ResourceAcls(OTHER, frozenset({ENTRY})))
    assert (server.reads(), server.reads(OTHER)) == (False, True)
    server.update(0, ResourceAcls(TABLE, frozenset({ENTRY})), snapshot=True, epoch=1)
    assert (server.reads(), server.reads(OTHER)) == (True, False)


def test_parts_take_effect_together_and_every_step_is_a_part() -> None:
    """Neither clients nor heartbeats wait for all entries of a large cluster."""
    server = Server()
    server.update(1, ResourceAcls(TABLE, frozenset({ENTRY})), snapshot=True)
    stamp = ControlStamp("this process", 7)
    evaluator = server.acls._evaluator

    def part(number: int, *resources: Resource, snapshot: bool, is_last: bool = False, version: int = 2) -> None:
        acls = tuple(ResourceAcls(resource, frozenset({ENTRY})) for resource in resources)
        own = stamp._replace(sequence=version)
        server.settings.update(UpdateSettings(0, version, None, acls, snapshot, own, number, is_last))

    part(0, OTHER, snapshot=True)
    part(1, Resource(ResourceType.TABLE, "d.third"), snapshot=True)
    assert (server.reads(), server.reads(OTHER)) == (True, False), "as before"
    assert evaluator.entry_count == 1, "nothing is done to what is effective"
    part(2, snapshot=True, is_last=True)
    assert (server.reads(), server.reads(OTHER)) == (False, True)
    assert server.acls._evaluator.entry_count == 2
    part(0, TABLE, snapshot=False, version=3)
    assert not server.reads()
    part(1, snapshot=False, version=3, is_last=True)
    assert (server.reads(), server.reads(OTHER)) == (True, True)
    assert server.acls._evaluator.entry_count == 3


@pytest.mark.parametrize(("epoch", "version"), [(0, 2), (1, 1)], ids=["another version", "another coordinator"])
def test_heartbeats_confirm_only_the_version_that_is_here(epoch: int, version: int) -> None:
    server = Server()
    server.update(1, ResourceAcls(TABLE, frozenset({ENTRY})), snapshot=True)
    for _ in range(5):
        server.clock.advance(MAX_AGE_MS // 2)
        server.heartbeat(1)
        assert server.reads()
    server.clock.advance(MAX_AGE_MS // 2)
    server.heartbeat(version, epoch)
    assert server.reads()
    server.clock.advance(MAX_AGE_MS // 2)
    assert server.is_outdated()
    server.update(version, snapshot=True, epoch=epoch)
    assert not server.reads()


def test_settings_that_cannot_be_used_here_do_not_keep_others_from_it() -> None:
    server = Server()
    seen: list[str] = []
    server.configuration.subscribe(
        ["server.data-disk.write-limit-ratio"],
        lambda changed: refuse_low(changed.get_ratio("server.data-disk.write-limit-ratio")),
        lambda changed: seen.append("applied"),
    )
    overrides = (
        ("log.replica.min-in-sync-replicas-number", "2"),
        ("no.such.key", "1"),
        ("server.data-disk.write-limit-ratio", "0.1"),
    )
    server.settings.update(UpdateSettings(0, 1, overrides, (), snapshot=True))
    assert server.configuration.overrides == {"log.replica.min-in-sync-replicas-number": "2"}
    server.settings.update(UpdateSettings(0, 2, (), ()))
    assert server.configuration.overrides == {}
    assert server.configuration.current.get_int("log.replica.min-in-sync-replicas-number") == 1


def refuse_low(ratio: float) -> None:
    if ratio < 0.5:
        raise FlussError(ErrorCode.INVALID_CONFIG_EXCEPTION, "too low")
