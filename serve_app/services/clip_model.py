"""The model of smart search changes, by an admin or while the server was down: what the one before made is let go.

Nothing is embedded anew by that alone; whoever changed it is told how. Source: spec/jobs-ml.md §4.
"""

import logging

from sqlalchemy.orm import Session

from cluster.db.queries import embeddings
from cluster.db.queries.embeddings import EmbeddingKind
from cluster.errors import BadRequest
from cluster.queue.store import QueueStore
from cluster.system_config import SystemConfig
from tasks.jobs.smart_search import forget_others, model_of
from tasks.ml.clip_names import clip_model, why_never_here

log = logging.getLogger(__name__)


def check_model(config: SystemConfig, before: SystemConfig) -> None:
    """Raises BadRequest for a name that nobody knows, as Immich says it, and for one that is chosen now and that
    nothing here can run. With one that came with a stored config, all else may still be saved: its queue says why."""
    name = config.machine_learning.clip.model_name
    if clip_model(name) is None:
        raise BadRequest(
            f"Unknown CLIP model: {name}. Please check the model name for typos and confirm this is a supported model."
        )
    if model_of(config) != model_of(before) and (why := why_never_here(name)):
        raise BadRequest(f"The CLIP model {name} cannot be used: {why}. Choose another.")


def let_go_of_others(session: Session, store: QueueStore, config: SystemConfig) -> None:
    """Enqueue the job that deletes what other models made, if there is any of it. It is not found any more anyway."""
    model = model_of(config)
    if embeddings.are_all_of(session, EmbeddingKind.SMART_SEARCH, model):
        return
    store.enqueue(session, [forget_others()])
    log.warning(
        "smart search uses %s now: what another model made is deleted, and photos are found again once they are "
        "embedded anew. Start the queue smartSearch with Missing for that now, or leave it to the nightly check",
        model,
    )
