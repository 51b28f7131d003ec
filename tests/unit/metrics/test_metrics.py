"""Counting, rates, and the text that Prometheus gets."""

from __future__ import annotations

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fluss_server.metrics.catalogue import CATALOGUE, MetricKind
from fluss_server.metrics.exposition import render
from fluss_server.metrics.instruments import TIME_BOUNDS_MS, BucketCounters, Distribution, RequestStats
from fluss_server.metrics.samples import Rates, Sample

RATE = "tabletserver_bytesInPerSecond"


def test_distributions_count_by_class() -> None:
    times = Distribution()
    for value in (0.0, 0.5, 0.6, 30_000.0, 99_999.0):
        times.record(value)
    classes = dict(times.cumulative())
    assert (classes["0.5"], classes["1.0"], classes["20.0"], classes["30000.0"], classes["+Inf"]) == (2, 3, 3, 4, 5)
    assert times.total == pytest.approx(130_000.1)
    assert len(classes) == len(TIME_BOUNDS_MS) + 1


def test_request_stats() -> None:
    stats = RequestStats()
    assert stats.count == 0
    stats.record(10, 3.0)
    stats.record(20, 4.0)
    assert (stats.count, stats.request_bytes, stats.times.total) == (2, 30, 7.0)


def test_counters_add_up() -> None:
    total = BucketCounters(messages_in=1, bytes_out=5)
    total.add(BucketCounters(messages_in=2, lookup_requests=7))
    assert total == BucketCounters(messages_in=3, bytes_out=5, lookup_requests=7)


class ManualTime:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def rate(rates: Rates, count: float) -> float:
    return rates.rates([Sample(RATE, count), Sample("tabletserver_leaderCount", 3)])[RATE, ()]


def test_rates_are_means_of_about_a_minute() -> None:
    time = ManualTime()
    rates = Rates(time)
    time.now += 10
    assert rate(rates, 1000) == 100, "since the start"
    for _ in range(20):
        time.now += 10
        assert rate(rates, 1000) <= 100
    assert rate(rates, 1000) == 0, "nothing in the last minute"
    time.now += 10
    assert rate(rates, 1600) == 10, "over the last 60 seconds"
    time.now += 1000
    assert rate(rates, 1600) == 0


def test_scrapes_close_together_keep_the_rate_steady() -> None:
    time = ManualTime()
    rates = Rates(time)
    for step in range(10_000):
        time.now += 0.01
        assert rate(rates, step + 1) == pytest.approx(100, rel=0.05)
    assert len(rates._samples) <= 64


def test_a_count_that_begins_again_is_no_negative_rate() -> None:
    time = ManualTime()
    rates = Rates(time)
    time.now += 10
    rate(rates, 1000)
    time.now += 70
    rate(rates, 1000)
    time.now += 10
    assert rate(rates, 5) == 0


def test_the_text_can_be_read() -> None:
    times = Distribution()
    times.record(3.0)
    samples = [
        Sample(RATE, 600),
        Sample("tabletserver_table_bucket_log_endOffset", 2**53, ("d", 'quo"te\\', "2024$eu", "3")),
        Sample("tabletserver_request_totalTimeMs", times, ("produceLog",)),
        Sample("server_shedFetches", 4),
    ]
    text = render(samples, {(RATE, ()): 10.0}, {"server_id": "0"}).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert [(s.labels, s.value) for s in families["fluss_" + RATE].samples] == [({"server_id": "0"}, 10.0)]
    assert [(s.name, s.value) for s in families["fluss_tabletserver_bytesIn"].samples] == [
        ("fluss_tabletserver_bytesIn_total", 600.0)
    ]
    (end,) = families["fluss_tabletserver_table_bucket_log_endOffset"].samples
    assert end.labels == {
        "server_id": "0", "database": "d", "table": 'quo"te\\', "partition": "2024$eu", "bucket": "3",
    }  # fmt: skip
    assert end.value == 2**53
    histogram = families["fluss_tabletserver_request_totalTimeMs"]
    assert histogram.type == "histogram"
    values = {(s.name.rpartition("_")[2], s.labels.get("le")): s.value for s in histogram.samples}
    assert (values["bucket", "2.0"], values["bucket", "5.0"], values["count", None], values["sum", None]) == (
        0,
        1,
        1,
        3,
    )
    assert families["fluss_server_shedFetches"].type == "counter"
    assert families["process_resident_memory_bytes"].samples[0].value > 1 << 20
    exported = {name.removesuffix("_total") for metric in CATALOGUE.values() for name in metric.exported_names}
    assert exported <= set(families), "every metric is named, also without a value"


def test_the_catalogue_is_sound() -> None:
    for name, metric in CATALOGUE.items():
        assert re.fullmatch(r"(tabletserver|coordinator|server)(_[a-zA-Z0-9]+)+", name)
        assert metric.help.endswith("."), name
        assert name.endswith("PerSecond") == (metric.kind is MetricKind.RATE)
    names = [name for metric in CATALOGUE.values() for name in metric.exported_names]
    assert len(names) == len(set(names))
