"""How to reach ZooKeeper, from the options of a server."""

from __future__ import annotations

import pytest

from fluss_server.config import SERVER_OPTIONS, Configuration
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.zookeeper.settings import ZooKeeperSettings


def settings(**options: str) -> ZooKeeperSettings:
    given = {f"zookeeper.{key.replace('_', '-').replace('--', '.')}": value for key, value in options.items()}
    return ZooKeeperSettings.of(Configuration(SERVER_OPTIONS, given))


def test_defaults_are_the_official_ones() -> None:
    found = settings(address="zk1:2181,zk2:2181")
    assert found == ZooKeeperSettings("zk1:2181,zk2:2181")
    assert (found.hosts, found.prefix) == ("zk1:2181,zk2:2181", "/fluss")
    assert (found.session_timeout_s, found.connection_timeout_s, found.retry_wait_s) == (60.0, 15.0, 5.0)
    assert (found.max_attempts, found.max_inflight, found.tolerate_suspended) == (3, 100, False)


def test_everything_given() -> None:
    found = settings(
        address="zk:1/a/b",
        path__root="/c/",
        client__session_timeout="2 s",
        client__connection_timeout="100 ms",
        client__retry_wait="50 ms",
        client__max_retry_attempts="7",
        client__max_inflight_requests="9",
        client__tolerate_suspended_connections="true",
    )
    assert (found.hosts, found.prefix) == ("zk:1", "/a/b/c")
    assert (found.session_timeout_s, found.connection_timeout_s, found.retry_wait_s) == (2.0, 0.1, 0.05)
    assert (found.max_attempts, found.max_inflight, found.tolerate_suspended) == (7, 9, True)


@pytest.mark.parametrize(("address", "root", "prefix"), [("a:1", "/", ""), ("a:1/", "/", ""), ("a:1/x", "/", "/x")])
def test_the_root_may_be_the_top(address: str, root: str, prefix: str) -> None:
    assert ZooKeeperSettings(address, root).prefix == prefix


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "zookeeper.address is not set"),
        ({"address": "/x"}, "names no host"),
        ({"address": "a:1", "path__root": "fluss"}, "is not the path of a node"),
        ({"address": "a:1", "path__root": "/a//b"}, "is not the path of a node"),
        ({"address": "a:1", "path__root": "/" + "x" * 64}, "more than 64 bytes"),
    ],
)
def test_what_is_refused(options: dict[str, str], message: str) -> None:
    with pytest.raises(FlussError, match=message) as caught:
        settings(**options)
    assert caught.value.code is ErrorCode.INVALID_CONFIG_EXCEPTION
