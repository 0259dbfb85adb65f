"""`python -m tests.ray.ask_vectors`: joins Ray, asks what is near while the vectors actor starts, runs, is killed and
comes back, and prints as JSON what it was told each time, beside what the rows say.
"""

import json
import os
import time

import numpy as np
import ray

from cluster.db.engine import Database
from cluster.db.queries import embeddings
from cluster.errors import IndexAway
from cluster.launch import NAMESPACE
from cluster.ray_join import join
from cluster.settings import read_settings
from cluster.vectors import ray_vectors
from cluster.vectors.exact import ExactVectors
from cluster.vectors.index import Embedding, Vectors
from cluster.vectors.indexed import IndexedVectors
from cluster.vectors.ray_vectors import VECTORS_ACTOR, RayHolder
from tests.contract.vectors import KIND, everything

PATIENCE_S = 60.0


def main() -> None:
    """See the module."""
    ray_vectors.AWAY_S = 1.0
    settings = read_settings(os.environ)
    join(settings)
    database, holder = Database(settings.database_url), RayHolder()
    with database.reader() as session:
        last = embeddings.last_seq(session, KIND)
        query = embeddings.unpacked(next(iter(embeddings.stored_at(session, KIND, [last]).values())))
    vectors = IndexedVectors(holder)
    answers = {"first": near(database, vectors, query)}
    answers["when it is up"] = wait_for_mark(holder, query, last) and near(database, vectors, query)
    ray.kill(ray.get_actor(VECTORS_ACTOR, namespace=NAMESPACE), no_restart=False)
    answers["just killed"] = near(database, vectors, query)
    answers["when it is back"] = wait_for_mark(holder, query, last) and near(database, vectors, query)
    print(json.dumps({"rows": near(database, ExactVectors(), query), "answers": answers}))


def near(database: Database, vectors: Vectors, query: Embedding) -> list[str]:
    with database.reader() as session:
        return [match.id for match in vectors.nearest(session, KIND, query, 10, everything())]


def wait_for_mark(holder: RayHolder, query: Embedding, mark: int) -> bool:
    """Until the actor itself says that it has everything."""
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        try:
            found = holder.search(KIND, np.asarray(query), 5)
            if found.mark >= mark:
                return len(found.seqs) == 5
        except IndexAway:
            pass
        time.sleep(0.2)
    return False


if __name__ == "__main__":
    main()
