"""Keys of Apache Fluss that this server does not have: reported, not refused; misspelt ones are refused."""

from __future__ import annotations

import logging

import pytest

from fluss_server.config import SERVER_OPTIONS
from fluss_server.config.dynamic import DynamicConfiguration
from fluss_server.config.official_options import _KEYS, effective_options
from fluss_server.errors import ErrorCode, FlussError

SERVER_YAML = {
    "zookeeper.address": "localhost:2181",
    "default.bucket.number": "3",
    "default.replication.factor": "3",
    "tablet-server.id": "0",
    "data.dir": "/tmp/fluss",
    "remote.data.dir": "/tmp/fluss-remote",
    "remote.data.dirs": "/a,/b",
    "datalake.format": "paimon",
    "datalake.paimon.warehouse": "/tmp/paimon",
    "kv.rocksdb.writebuffer.size": "64mb",
    "log.replica.min-in-sync-replicas-number": "2",
}


def test_an_official_configuration_is_accepted_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        accepted = effective_options(SERVER_YAML)
    configuration = DynamicConfiguration(SERVER_OPTIONS, accepted)
    assert configuration.current.get_int("default.bucket.number") == 3
    (record,) = caplog.records
    for key in SERVER_YAML.keys() - accepted.keys():
        assert key in record.getMessage()
    assert "default.bucket.number" not in record.getMessage()
    assert "zookeeper.address" not in accepted  # an option of the programs of a cluster


@pytest.mark.parametrize(
    "key", ["remote.data.dri", "kv.rocksdb.nothing", "zookeeper.adress", "metrics.reporter.prometheus.prot", "datalake"]
)
def test_unknown_keys_are_refused(key: str) -> None:
    with pytest.raises(FlussError, match="unknown option") as refused:
        DynamicConfiguration(SERVER_OPTIONS, effective_options({key: "1"}))
    assert refused.value.code is ErrorCode.INVALID_CONFIG_EXCEPTION


def test_no_option_of_this_server_is_listed(caplog: pytest.LogCaptureFixture) -> None:
    assert not _KEYS & SERVER_OPTIONS.keys()
    assert effective_options({"default.bucket.number": "2"}) == {"default.bucket.number": "2"}
    assert not caplog.records
