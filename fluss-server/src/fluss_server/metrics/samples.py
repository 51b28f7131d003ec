"""Samples of metrics, and rates from several samples."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from fluss_server.metrics.catalogue import CATALOGUE, MetricKind
from fluss_server.metrics.instruments import Distribution

WINDOW_S = 60.0
"""A rate is the mean over about so many seconds."""

_MIN_STEP_S = 1.0  # scrapes closer together than this do not make a new sample
_MAX_SAMPLES = 64


class Sample(NamedTuple):
    """One value.

    Attributes:
        name: of a metric of the catalogue.
        value: for a RATE the count so far.
        labels: values of the metric's labels, in their order.
    """

    name: str
    value: float | Distribution
    labels: tuple[str, ...] = ()


Source = Callable[[], Iterable[Sample]]


class Rates:
    """Turns counts into rates per second, from the counts of earlier scrapes.

    Holds at most :data:`_MAX_SAMPLES` sets of counts, all younger than a window but one.

    Args:
        now: seconds of a monotonic clock.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._samples: deque[tuple[float, dict[tuple[str, tuple[str, ...]], float]]] = deque([(now(), {})])

    def rates(self, samples: Sequence[Sample]) -> dict[tuple[str, tuple[str, ...]], float]:
        """Rates of the samples of kind RATE, by name and labels.

        The first time, they are the means since this object was made.
        """
        counts = {
            (sample.name, sample.labels): float(sample.value)  # type: ignore[arg-type]  # rates have no distributions
            for sample in samples
            if CATALOGUE[sample.name].kind is MetricKind.RATE
        }
        now = self._now()
        while len(self._samples) > 1 and now - self._samples[1][0] >= WINDOW_S:
            self._samples.popleft()
        then, before = self._samples[0]
        seconds = max(now - then, 1e-3)
        # A table that was dropped and made again begins at 0: its counts are smaller than before.
        rates = {key: max(count - before.get(key, 0.0), 0.0) / seconds for key, count in counts.items()}
        if now - self._samples[-1][0] >= _MIN_STEP_S:
            if len(self._samples) == _MAX_SAMPLES:
                del self._samples[1]
            self._samples.append((now, counts))
        return rates
