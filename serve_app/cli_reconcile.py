"""`heliostat reconcile`: asks the server for it by way of the database, and waits for what it finds."""

import time
from collections.abc import Callable

from cluster.queue.states import JobState
from serve_app.deps import Services
from serve_app.services.reconcile import ask_for_reconciliation, last_reconciliation, reconciliation_states

LOOK_EVERY_S = 0.5
PATIENT_S = 15.0


def run_reconciliation(services: Services, wait: bool, tell: Callable[[str], None]) -> None:
    """Ctrl-C ends the waiting, not the job."""
    ask_for_reconciliation(services)
    if not wait:
        tell("It waits in the queue integrityCheck.")
        return
    began_s, told = time.monotonic(), False
    while (states := reconciliation_states(services)) and states != {JobState.FAILED}:
        if not told and time.monotonic() - began_s > PATIENT_S:
            tell(
                f"Waiting for the server of {services.settings.media_root}: is it running, and is the queue "
                "integrityCheck not paused? Ctrl-C ends the waiting, IMMICH_MEDIA_LOCATION names another library."
            )
            told = True
        time.sleep(LOOK_EVERY_S)
    found = last_reconciliation(services)
    if states or found is None:
        tell("It failed: heliostat jobs integrityCheck says why.")
        return
    tell(f"{found.assets} assets and {found.people} people looked at, {found.broken_files} files broken.")
    for name, count in sorted(found.enqueued.items()):
        tell(f"{count:8d} {name}")
    tell(f"{sum(found.enqueued.values())} jobs enqueued." if found.enqueued else "Nothing is missing.")
