"""Samples as text that Prometheus reads; the format is the business of ``prometheus_client``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from fluss_server.metrics.catalogue import CATALOGUE, PREFIX, RATE_SUFFIX, MetricKind
from fluss_server.metrics.instruments import Distribution
from fluss_server.metrics.samples import Sample

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class _Collector(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def render(
    samples: Sequence[Sample], rates: Mapping[tuple[str, tuple[str, ...]], float], constant_labels: Mapping[str, str]
) -> bytes:
    """The whole exposition, with figures of the process; every metric of the catalogue is named, also without values.

    Args:
        samples: values, in any order.
        rates: per second, for the samples of kind RATE.
        constant_labels: for every value.
    """
    constant = list(constant_labels.values())
    families = {name: _families(name, list(constant_labels)) for name in CATALOGUE}
    for sample in samples:
        labels = constant + list(sample.labels)
        for family in families[sample.name]:
            if isinstance(family, HistogramMetricFamily):
                assert isinstance(sample.value, Distribution)
                family.add_metric(labels, buckets=sample.value.cumulative(), sum_value=sample.value.total)
                continue
            assert not isinstance(sample.value, Distribution)
            is_rate = isinstance(family, GaugeMetricFamily) and CATALOGUE[sample.name].kind is MetricKind.RATE
            family.add_metric(labels, rates[sample.name, sample.labels] if is_rate else sample.value)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector([family for group in families.values() for family in group]))
    ProcessCollector(registry=registry)
    return generate_latest(registry)


def _families(
    name: str, constant_labels: list[str]
) -> list[CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily]:
    metric = CATALOGUE[name]
    labels = constant_labels + list(metric.labels)
    if metric.kind is MetricKind.HISTOGRAM:
        return [HistogramMetricFamily(PREFIX + name, metric.help, labels=labels)]
    if metric.kind is MetricKind.COUNTER:
        return [CounterMetricFamily(PREFIX + name, metric.help, labels=labels)]
    gauge = GaugeMetricFamily(PREFIX + name, metric.help, labels=labels)
    if metric.kind is MetricKind.GAUGE:
        return [gauge]
    return [gauge, CounterMetricFamily(PREFIX + name.removesuffix(RATE_SUFFIX), metric.help, labels=labels)]
