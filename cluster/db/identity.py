"""Which database this is: a mark that the first machine writes into it anew at every start, so that a copy of it is
another. `python -m cluster.db.identity` prints the mark of the one that the environment names.
"""

import os
import uuid

from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session

from cluster.db.engine import Database
from cluster.db.queries import notes
from cluster.settings import Settings, read_settings

NOTE = "database-identity"
"""Key: `mark`."""


def renew_identity(session: Session) -> None:
    notes.write(session, NOTE, {"mark": str(uuid.uuid4())})


def identity_of(settings: Settings) -> str:
    """Of the database that the settings name; empty where no first machine uses it. Raises what opening it raises."""
    database = Database(settings.database_url)
    try:
        with database.reader() as session:
            return str((notes.read(session, NOTE) or {"mark": ""})["mark"])
    except ProgrammingError:  # it has no table of ours
        return ""
    finally:
        database.close()


if __name__ == "__main__":
    print(identity_of(read_settings(os.environ)))
