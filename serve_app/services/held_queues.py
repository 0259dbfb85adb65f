"""Tells admins of a queue that has waited for them for a while: no machine serves it, its model is missing, the media
folder is away. Once for each time that it is held; what nobody has read goes when the queue goes on."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from cluster.db.queries import notifications
from cluster.names import QueueName
from cluster.notices import tell_admins
from cluster.queue.job import Notice
from cluster.queue.store import QueueCounts
from serve_app.deps import Services

PATIENCE = timedelta(minutes=10)
"""Machines restart, and come when there is work."""
EVERY_S = 60.0


class HeldQueues:
    """For one controller. `resting`: why a queue is meant to wait, empty when it is not."""

    def __init__(self, services: Services, resting: Callable[[QueueName], str]) -> None:
        self._services, self._resting = services, resting
        self._since: dict[QueueName, datetime] = {}
        self._told: set[QueueName] | None = None

    def tick(self, mine: bool) -> float:
        """`mine`: whether this controller is the one that tells."""
        if mine:
            self._look()
        else:
            self._since, self._told = {}, None
        return EVERY_S

    def _look(self) -> None:
        now = self._services.clock.now()
        with self._services.database.reader() as session:
            counts = self._services.store.counts(session)
        held = {queue for queue, found in counts.items() if self._is_held(found)}
        self._since = {queue: self._since.get(queue, now) for queue in held}
        # what another controller told is not known here: what nobody has read yet is not told twice
        told = set() if self._told is None else self._told
        over = (set(QueueName) if self._told is None else told) - held
        due = {queue for queue, since in self._since.items() if now - since >= PATIENCE} - told
        if over or due:
            self._write(over, {queue: counts[queue] for queue in due}, now)
        self._told = (told - over) | due

    def _is_held(self, found: QueueCounts) -> bool:
        waits = found.waiting or found.delayed
        return bool(waits and found.wait_reason and not found.paused and not self._resting(found.queue))

    def _write(self, over: set[QueueName], due: Mapping[QueueName, QueueCounts], now: datetime) -> None:
        with self._services.database.session() as session:
            for queue in sorted(over):
                notifications.take_back(session, _cause(queue))
            notices = [_notice(found) for found in due.values()]
            tell_admins(self._services.store, session, notices, now)


def _notice(found: QueueCounts) -> Notice:
    waiting = found.waiting + found.delayed
    described = f"{waiting} jobs of {found.queue} wait: {found.wait_reason}"
    data = {"queue": str(found.queue)}
    return Notice("SystemMessage", "warning", "A queue waits for you", described, data, _cause(found.queue))


def _cause(queue: QueueName) -> str:
    return f"queue/{queue}"
