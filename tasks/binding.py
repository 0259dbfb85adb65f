"""Jobs as the loops see them: a job type bound to what the server is set to becomes a Handler."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

from cluster.clock import Clock
from cluster.names import JobName
from cluster.queue.job import Done, Fact, Failed, Handler, JobSpec, Lease, Loaded, More, Skipped, Snooze
from cluster.queue.store import QueueStore
from cluster.settings import Settings
from cluster.storage.layout import StorageLayout
from cluster.system_config import SystemConfig
from cluster.vectors.index import Vectors
from tasks.job import NO_FACTS, AnyJob, Context, Job, RowJob

CONFIG_TTL_S = 1.0
"""How old the config may be that a job sees: an admin's change reaches every controller within this time."""


class Contexts:
    """Makes the context of each call from its transaction; reads the system config once per `CONFIG_TTL_S`."""

    def __init__(
        self,
        store: QueueStore,
        settings: Settings,
        layout: StorageLayout,
        read_config: Callable[[Any], SystemConfig],
        clock: Clock,
        vectors: Vectors,
    ) -> None:
        self._store, self._settings, self._layout = store, settings, layout
        self._read_config, self._clock, self._vectors = read_config, clock, vectors
        self._lock = threading.Lock()
        self._config: SystemConfig | None = None
        self._read_at_s = 0.0

    def of(self, session: Any) -> Context:
        """The context of one transaction."""
        now = self._clock.now()
        config = self._current_config(session, now.timestamp())
        return Context(session, self._store, self._settings, config, self._layout, self._vectors, now)

    def _current_config(self, session: Any, now_s: float) -> SystemConfig:
        with self._lock:
            # a clock that was set back must not freeze the config, hence the absolute distance
            if self._config is None or abs(now_s - self._read_at_s) >= CONFIG_TTL_S:
                self._config, self._read_at_s = self._read_config(session), now_s
            return self._config


class BoundJob:
    """A Job as a Handler."""

    def __init__(self, job: Job, contexts: Contexts) -> None:
        self._job, self._contexts = job, contexts

    @property
    def spec(self) -> JobSpec:
        return self._job.spec

    def load(self, session: Any, leases: Sequence[Lease]) -> Sequence[Loaded]:
        return self._job.load(self._contexts.of(session), leases)

    def save(self, session: Any, outputs: Sequence[tuple[Lease, Any]]) -> Sequence[frozenset[Fact]]:
        context, job = self._contexts.of(session), self._job
        if job.save_batch is not None:
            return job.save_batch(context, outputs)
        return [job.save(context, lease, output) for lease, output in outputs]

    def files(self, output: Any) -> Sequence[str]:
        return self._job.files(output)


class BoundRowJob:
    """A RowJob as a Handler, for the row runner. Its input is its lease; it saves its rows while it runs, so that
    nothing is left to save."""

    def __init__(self, job: RowJob, contexts: Contexts) -> None:
        self._job, self._contexts = job, contexts

    @property
    def spec(self) -> JobSpec:
        return self._job.spec

    def load(self, session: Any, leases: Sequence[Lease]) -> Sequence[Loaded]:
        return list(leases)

    def run(self, session: Any, lease: Lease) -> Done | More | Skipped | Failed | Snooze:
        """One page, in the transaction in which it is settled."""
        return self._job.run(self._contexts.of(session), lease)

    def save(self, session: Any, outputs: Sequence[tuple[Lease, Any]]) -> Sequence[frozenset[Fact]]:
        return [NO_FACTS] * len(outputs)

    def files(self, output: Any) -> Sequence[str]:
        return ()


def bind(jobs: Sequence[AnyJob], contexts: Contexts) -> dict[JobName, Handler]:
    """Every job as a Handler, by name."""
    return {
        job.spec.name: BoundRowJob(job, contexts) if isinstance(job, RowJob) else BoundJob(job, contexts)
        for job in jobs
    }
