"""A job type: its spec and its functions. One file under `jobs/` makes one of these and `registry` lists it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from cluster.queue.job import (
    Done,
    Fact,
    Failed,
    JobSpec,
    Lease,
    Loaded,
    More,
    Skipped,
    Snooze,
)
from cluster.queue.store import QueueStore
from cluster.settings import Settings
from cluster.storage.layout import StorageLayout
from cluster.system_config import SystemConfig
from cluster.vectors.index import Vectors
from tasks.ml.weights import Weights
from tasks.tools import Tools


@dataclass(frozen=True, slots=True)
class Context:
    """What `load`, `save` and `run` may reach: one open transaction and what the server is set to. `now`: aware UTC."""

    session: Session
    store: QueueStore
    settings: Settings
    config: SystemConfig
    layout: StorageLayout
    vectors: Vectors
    now: datetime


NO_FACTS: frozenset[Fact] = frozenset()


def no_files(output: Any) -> Sequence[str]:
    """For jobs that leave no files."""
    return ()


def nothing_to_warm(given: Any, tools: Tools) -> None:
    """For jobs that keep nothing from one call to the next."""


def no_weights(config: SystemConfig) -> Weights | None:
    """For jobs without a model, and models that come with their library."""
    return None


@dataclass(frozen=True, slots=True)
class Job:
    """Pure work on any labelled node; with the place row_jobs, work of its own on the database (a backup).

    `load(context, leases)`: per lease, in order, an input or Skipped, Failed, Snooze; one query for the whole batch.
    `work(input, tools)`: files and values only; returns an output, or Skipped, Failed, Snooze, More.
    `save(context, lease, output)`: rows, in the settling transaction; returns facts for `pipeline`.
    `files(output)`: final paths of what `work` left as `<final>.<token>`.
    `work_batch(inputs, tools)`: what `work` does, for all inputs of a call in one go; one entry per input, in order: an
    output, or Skipped, Failed, Snooze, or the exception of that one. If it raises, `work` is tried on each by itself.
    `save_batch(context, [(lease, output), …])`: what `save` does, in fewer statements; facts for each, in order.
    `warm(input, tools)`: load, and keep in `tools.models`, what `work` needs for inputs like this one; a process of a
    pool does this once, before it takes work.
    `weights(config)`: the weights without which no job of this type starts; None where the feature is off.
    """

    spec: JobSpec
    load: Callable[[Context, Sequence[Lease]], Sequence[Loaded]]
    work: Callable[[Any, Tools], Any]
    save: Callable[[Context, Lease, Any], frozenset[Fact]]
    files: Callable[[Any], Sequence[str]] = no_files
    work_batch: Callable[[Sequence[Any], Tools], Sequence[Any]] | None = None
    save_batch: Callable[[Context, Sequence[tuple[Lease, Any]]], Sequence[frozenset[Fact]]] | None = None
    warm: Callable[[Any, Tools], Any] = nothing_to_warm
    weights: Callable[[SystemConfig], Weights | None] = no_weights


@dataclass(frozen=True, slots=True)
class RowJob:
    """A job that is rows and no pixels. `run` does one short page in one transaction, in which it is also settled."""

    spec: JobSpec
    run: Callable[[Context, Lease], Done | More | Skipped | Failed | Snooze]


AnyJob = Job | RowJob
