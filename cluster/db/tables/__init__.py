"""The tables, one file per aggregate. Importing this package completes `Base.metadata`."""

from cluster.db.tables import asset, job, system, user

__all__ = ["asset", "job", "system", "user"]
