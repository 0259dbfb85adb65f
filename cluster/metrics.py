"""What is measured for Prometheus: name, kind and tags of every metric, and who takes its values.

Ray's own port for metrics of each node serves them; there every name begins with `ray_`, and that of a counter ends
with `_total`. `cluster/grafana.json` draws them.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

BOUNDS_S = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3600.0)
"""Of every histogram, since a job takes a millisecond or an hour."""


class Kind(Enum):
    """What `record` does: replace, add, or count in a bucket."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """Values are counts or seconds. `tags`: in the order in which `record` takes them."""

    name: str
    kind: Kind
    help: str
    tags: tuple[str, ...]


QUEUE_JOBS = Metric("heliostat_queue_jobs", Kind.GAUGE, "Jobs of a queue, by state", ("queue", "state"))
QUEUE_PAUSED = Metric("heliostat_queue_paused", Kind.GAUGE, "1: the queue is paused", ("queue",))
QUEUE_HELD = Metric(
    "heliostat_queue_held", Kind.GAUGE, "1: nothing of the queue can start (no node, no weights)", ("queue",)
)
QUEUE_OLDEST = Metric(
    "heliostat_queue_oldest_seconds", Kind.GAUGE, "Age of the job that waits at the front", ("queue",)
)
QUEUE_CALLS = Metric("heliostat_queue_calls", Kind.GAUGE, "Calls of a queue that are with a worker", ("queue",))
JOBS = Metric(
    "heliostat_jobs", Kind.COUNTER, "Jobs that ended, and attempts to be repeated", ("queue", "job", "outcome")
)
RUN_SECONDS = Metric("heliostat_jobs_run_seconds", Kind.COUNTER, "Seconds that workers spent", ("queue", "job"))
WAIT_SECONDS = Metric("heliostat_jobs_wait_seconds", Kind.COUNTER, "Seconds that jobs waited", ("queue", "job"))
DURATION = Metric("heliostat_job_duration_seconds", Kind.HISTOGRAM, "Of the jobs that the history shows", ("job",))
LOOP_CPU = Metric("heliostat_loop_cpu_seconds", Kind.COUNTER, "CPU of one loop of the controller", ("loop",))
LOOP_TICKS = Metric("heliostat_loop_ticks", Kind.COUNTER, "Ticks of one loop of the controller", ("loop",))
LOOP_FAILURES = Metric("heliostat_loop_failures", Kind.COUNTER, "Ticks that raised; each is tried again", ("loop",))
REQUESTS = Metric(
    "heliostat_api_request_seconds", Kind.HISTOGRAM, "Requests, to the end of the answer", ("route", "method", "status")
)

METRICS = (
    *(QUEUE_JOBS, QUEUE_PAUSED, QUEUE_HELD, QUEUE_OLDEST, QUEUE_CALLS),
    *(JOBS, RUN_SECONDS, WAIT_SECONDS, DURATION),
    *(LOOP_CPU, LOOP_TICKS, LOOP_FAILURES, REQUESTS),
)


class Metrics(Protocol):
    """Takes values; any thread may call it."""

    def record(self, metric: Metric, value: float, *tags: str) -> None: ...


class Unmeasured:
    """Where no Ray serves them."""

    def record(self, metric: Metric, value: float, *tags: str) -> None:
        pass
