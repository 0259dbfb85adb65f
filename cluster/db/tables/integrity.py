"""Where database and disk disagree, until the next check or a person clears it."""

from datetime import datetime

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from cluster.db.tables.base import Base, FilePath, UtcDateTime, partial_index


class IntegrityReport(Base):
    """`type`: untracked_file, missing_file or checksum_mismatch. An untracked file has neither asset nor asset file."""

    __tablename__ = "integrity_report"
    __table_args__ = (
        UniqueConstraint("type", "path"),
        partial_index("ix_integrity_report_asset_id", "asset_id", where="asset_id IS NOT NULL"),
        partial_index("ix_integrity_report_asset_file_id", "asset_file_id", where="asset_file_id IS NOT NULL"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    type: Mapped[str] = mapped_column(String)
    path: Mapped[str] = mapped_column(FilePath)
    asset_id: Mapped[str | None] = mapped_column(ForeignKey("asset.id", ondelete="CASCADE"))
    asset_file_id: Mapped[str | None] = mapped_column(ForeignKey("asset_file.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
