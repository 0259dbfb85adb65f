"""Old history, attempts, statistics, events, admins' actions and stray files → deleted, a little at a time."""

from collections.abc import Callable
from datetime import datetime, timedelta

from cluster.clock import Clock
from cluster.queue.store import QueueStore

KEEP = timedelta(days=14)
KEEP_ACTIONS = timedelta(days=365)
"""What admins did is asked for long after the jobs that it was about, and is little."""
SWEEP_EVERY = timedelta(hours=12)
"""A sweep walks the whole media folder, and strays take no space worth more."""
ROWS_PER_TICK = 1000
EVERY_S, WHILE_BUSY_S = 600.0, 1.0


class Pruner:
    """`sweep_files` deletes what broken uploads and late attempts left behind; `prune_actions(before, limit)` what
    admins did before a time. Both return how many they deleted."""

    def __init__(
        self,
        store: QueueStore,
        clock: Clock,
        sweep_files: Callable[[], int],
        prune_actions: Callable[[datetime, int], int],
    ) -> None:
        self._store, self._clock = store, clock
        self._sweep_files, self._prune_actions = sweep_files, prune_actions
        self._sweep_at: datetime = clock.now()

    def tick(self) -> float:
        with self._store.transaction() as tx:
            deleted = self._store.prune(tx, self._clock.now() - KEEP, ROWS_PER_TICK)
        deleted += self._prune_actions(self._clock.now() - KEEP_ACTIONS, ROWS_PER_TICK)
        if deleted >= ROWS_PER_TICK:
            return WHILE_BUSY_S
        if self._clock.now() >= self._sweep_at:
            self._sweep_at = self._clock.now() + SWEEP_EVERY
            self._sweep_files()
        return EVERY_S
