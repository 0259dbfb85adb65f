"""Metrics → `ray.util.metrics`, which each node's agent serves to Prometheus."""

from typing import Any

from ray.util.metrics import Counter, Gauge, Histogram

from cluster.metrics import BOUNDS_S, METRICS, Kind, Metric


class RayMetrics:
    """Make one in a process that Ray started, or after `ray.init`."""

    def __init__(self) -> None:
        self._recorders = {metric.name: _recorder(metric) for metric in METRICS}

    def record(self, metric: Metric, value: float, *tags: str) -> None:
        if metric.kind is Kind.COUNTER and value <= 0:
            return  # Ray would raise
        self._recorders[metric.name](value, dict(zip(metric.tags, tags, strict=True)))


def _recorder(metric: Metric) -> Any:
    match metric.kind:
        case Kind.GAUGE:
            return Gauge(metric.name, metric.help, metric.tags).set
        case Kind.COUNTER:
            return Counter(metric.name, metric.help, metric.tags).inc
        case Kind.HISTOGRAM:
            return Histogram(metric.name, metric.help, list(BOUNDS_S), metric.tags).observe
