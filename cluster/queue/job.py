"""What a job is: its spec, its lease, its outcomes, and the handler that loads and saves it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, IntEnum
from typing import Any, NamedTuple, NewType, Protocol

from cluster.names import JobName, QueueName
from cluster.queue.retry import DEFAULT_RETRY, RetryPolicy

JobId = NewType("JobId", int)
LeaseToken = NewType("LeaseToken", str)
Payload = Mapping[str, Any]
"""A job's arguments as stored: JSON, in our spelling (`id`, `source`, `notify`, `force`, …)."""

Fact = NewType("Fact", str)
"""A word that `pipeline` asks for, such as `video`: what a job learnt about its asset."""


class Place(Enum):
    """Where a job runs: pure work on any labelled node, or rows on an api node."""

    CLUSTER = "cluster"
    ROW_JOBS = "row_jobs"


class Priority(IntEnum):
    """Seconds that are added to a job's place in the line. The backlog ages, so nothing starves.

    UNDER_WAY is for the parts of something that has begun: it is finished before its queue begins something new.
    """

    UNDER_WAY = -86_400
    PERSON_WAITS = 0
    BACKLOG = 600
    NIGHTLY = 3600


@dataclass(frozen=True, slots=True)
class Resources:
    """What one call needs of a node."""

    cpus: float = 1.0
    gpus: float = 0.0
    memory_mb: int = 0


@dataclass(frozen=True, slots=True)
class ModelPool:
    """Processes that keep a model's weights and take the calls of one job type, instead of a process per call.

    `gpus`: each one's share of a GPU, where a node that serves the queue has one. `cpus`: its threads elsewhere, and
    what a node's cores are divided by: a node gets as many processes as its cores (or GPUs) allow, and at least one.
    `gpu_batch`: jobs to a call where such a node is there (0: as everywhere).
    `memory_mb`: what it holds while warm. `least` and `most` processes in the whole cluster, as the backlog asks for;
    one that has had nothing to do for `idle_ttl_s` ends, so does one after `recycle_after_batches` calls (0: never).
    """

    name: str
    cpus: float = 1.0
    gpus: float = 0.0
    gpu_batch: int = 0
    memory_mb: int = 0
    least: int = 0
    most: int = 64
    idle_ttl_s: float = 300.0
    recycle_after_batches: int = 1000

    def __post_init__(self) -> None:
        if not 0 <= self.least <= self.most or self.most < 1 or self.cpus <= 0 or not 0 <= self.gpus <= 1:
            raise ValueError(f"{self.name}: 0 <= least <= most, most >= 1, cpus > 0 and 0 <= gpus <= 1 must hold")


@dataclass(frozen=True, slots=True)
class JobSpec:
    """A job type, declared once at the top of its file. `batch`: jobs per call; `timeout_s`: for one job of the call;
    `media_memory`: malloc settings for media work go with the call; `wire_name`: what clients are shown; `pool`: its
    calls go to processes that keep a model, which then say what a call needs of a node instead of `resources`.
    """

    name: JobName
    place: Place = Place.CLUSTER
    resources: Resources = Resources()
    batch: int = 1
    timeout_s: float = 600.0
    retry: RetryPolicy = DEFAULT_RETRY
    media_memory: bool = False
    wire_name: JobName | None = None
    pool: ModelPool | None = None

    def __post_init__(self) -> None:
        if self.batch < 1 or self.timeout_s <= 0:
            raise ValueError(f"{self.name}: batch and timeout must be positive")


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be enqueued. Two with one `dedup_key` become one: `source`, `notify` and `force` keep the stronger."""

    name: JobName
    payload: Payload = field(default_factory=dict)
    priority: Priority = Priority.BACKLOG
    delay_s: float = 0.0
    dedup_key: str | None = None
    asset_id: str | None = None


def asset_job(
    name: JobName,
    asset_id: str,
    *,
    source: str | None = None,
    notify: bool = False,
    force: bool = False,
    priority: Priority = Priority.BACKLOG,
) -> NewJob:
    """A job about one asset: at most one of its kind waits. Flags that are off are left out of the payload."""
    payload: dict[str, Any] = {"id": asset_id}
    if source is not None:
        payload["source"] = source
    if notify:
        payload["notify"] = True
    if force:
        payload["force"] = True
    return NewJob(name, payload, priority, dedup_key=f"{name}:{asset_id}", asset_id=asset_id)


@dataclass(frozen=True, slots=True)
class Lease:
    """A job in the hands of a controller until `expires_at`. `attempt` counts from 1; `deaths`: workers lost with it.

    `alone`: it must run in a call of its own, since a call that held it crashed.
    """

    job_id: JobId
    token: LeaseToken
    name: JobName
    queue: QueueName
    payload: Payload
    attempt: int
    deaths: int
    alone: bool
    asset_id: str | None
    enqueued_at: datetime
    expires_at: datetime

    @property
    def ticket(self) -> "Ticket":
        """What the worker is told of it."""
        return Ticket(self.job_id, self.token, self.asset_id, self.attempt)


class Ticket(NamedTuple):
    """A lease as it travels to a worker: small, since every job pays for its bytes twice."""

    job_id: JobId
    token: LeaseToken
    asset_id: str | None
    attempt: int


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """What is known of an attempt that did not succeed; it outlives the job's row."""

    error_class: str
    message: str
    traceback_tail: str = ""
    stderr_tail: str = ""
    node: str = ""
    duration_ms: int = 0
    peak_memory_mb: int = 0


@dataclass(frozen=True, slots=True)
class Done:
    """The work is done. `output` goes to `save`."""

    output: Any = None


@dataclass(frozen=True, slots=True)
class More:
    """A page of a long walk is done: save `output`, then run the same job again with `next_payload`."""

    output: Any
    next_payload: Payload


@dataclass(frozen=True, slots=True)
class Skipped:
    """Nothing to do, for a good reason. Follow-ups run as after success; `facts` are for `pipeline`."""

    reason: str
    facts: frozenset[Fact] = frozenset()


@dataclass(frozen=True, slots=True)
class Failed:
    """Cannot be done, and trying again cannot help. No follow-ups."""

    reason: str


@dataclass(frozen=True, slots=True)
class Snooze:
    """Not now: try again after `seconds`. No attempt is counted; the queue shows `reason`. `whole_queue`: no other job
    of the queue could run either, so none is tried for a while."""

    seconds: float
    reason: str
    whole_queue: bool = False


@dataclass(frozen=True, slots=True)
class Crashed:
    """An exception left `work`. `retryable` as the error says; the policy decides."""

    attempt: FailedAttempt
    retryable: bool


Loaded = Any
"""An Input for `work` (any frozen dataclass), or one of Skipped, Failed, Snooze."""

Outcome = Done | More | Skipped | Failed | Snooze | Crashed


class Worked(NamedTuple):
    """How one job of a call ended in its worker. `duration_ms` is its own time in `work`."""

    outcome: Outcome
    duration_ms: int
    peak_memory_mb: int


@dataclass(frozen=True, slots=True)
class WorkResult:
    """What came back for one job of a call. `duration_ms` is its own time in `work`."""

    lease: Lease
    outcome: Outcome
    node: str = ""
    duration_ms: int = 0
    peak_memory_mb: int = 0


class Handler(Protocol):
    """A job type as the loops see it."""

    @property
    def spec(self) -> JobSpec: ...

    def load(self, session: Any, leases: Sequence[Lease]) -> Sequence[Loaded]:
        """One entry per lease, in order: an input for `work`, or Skipped, Failed, Snooze. One query for all."""
        ...

    def save(self, session: Any, outputs: Sequence[tuple[Lease, Any]]) -> Sequence[frozenset[Fact]]:
        """Write rows; the caller settles in the same transaction. One entry per output, in order: what `pipeline` wants
        to know."""
        ...

    def files(self, output: Any) -> Sequence[str]:
        """Final paths of the files that `work` left as `<final>.<token>`, for the settler to rename."""
        ...


@dataclass(frozen=True, slots=True)
class NewEvent:
    """Something a client or a controller wants to hear of. `user_id` None is everyone. Written with what caused it."""

    type: str
    user_id: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that people are told, and find later. `type`, `level`: in Immich's words. `cause`: what would say the
    same again, None where each stands for itself."""

    type: str
    level: str
    title: str
    description: str | None = None
    data: Mapping[str, Any] | None = None
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class FollowUps:
    """What a settled job causes, in the same transaction. `notices`: for every admin."""

    jobs: tuple[NewJob, ...] = ()
    events: tuple[NewEvent, ...] = ()
    notices: tuple[Notice, ...] = ()


class Pipeline(Protocol):
    """Says what follows a job that ended Done or Skipped. Pure."""

    def __call__(self, lease: Lease, outcome: Done | Skipped, facts: frozenset[Fact]) -> FollowUps: ...
