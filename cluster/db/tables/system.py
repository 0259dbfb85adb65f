"""What the server knows of itself: one JSON value per key (system config, mount checks, media location)."""

from sqlalchemy import JSON, String
from sqlalchemy.orm import Mapped, mapped_column

from cluster.db.tables.base import Base


class SystemMetadata(Base):
    """Keys: `system-config` (differences from the defaults), `system-flags`, `media-location`, `admin-onboarding`.

    `version-history`: which versions the server has been; `database-identity`: the mark of the first machine's last
    start. What a nightly task or a walk remembers of its last run is a key too: small values that change once a run.
    """

    __tablename__ = "system_metadata"

    key: Mapped[str] = mapped_column(String, primary_key=True)
    value: Mapped[dict[str, object]] = mapped_column(JSON)
