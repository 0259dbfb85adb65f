"""The log of moves: what is to lie elsewhere stands here before its file is touched, so that a kill loses nothing."""

from datetime import datetime

from sqlalchemy import Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from cluster.db.tables.base import Base, FilePath, UtcDateTime


class MoveHistory(Base):
    """One file on its way. The row goes when the file is at one place only.

    `state` intended: the entity's own column still says `old_path`, though the file may be at both. `state` placed:
    that column says where it is now, committed in the same transaction; `old_path` is to be unlinked.
    `new_path` is a reservation: no two files are ever sent to one place. Where a stranger lies there already, the row
    names another place before anything is put there.
    `entity_id`: an asset or a person, hence no foreign key. `path_type`: original, face, or an `asset_file.type`.
    """

    __tablename__ = "move_history"
    __table_args__ = (
        UniqueConstraint("entity_id", "path_type"),
        UniqueConstraint("new_path"),
        # a place that was just left is not given away before its file is gone
        Index("ix_move_history_old_path", "old_path"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    entity_id: Mapped[str] = mapped_column(String(36))
    path_type: Mapped[str] = mapped_column(String)
    old_path: Mapped[str] = mapped_column(FilePath)
    new_path: Mapped[str] = mapped_column(FilePath)
    state: Mapped[str] = mapped_column(String, default="intended")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
