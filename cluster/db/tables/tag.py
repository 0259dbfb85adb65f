"""Tags: a tree per user, and the assets that hang on it."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from cluster.db.tables.base import Base, UtcDateTime, partial_index


class Tag(Base):
    """`value` is the whole path, like `Places/Rome`; the last part is its name. What lies below a tag is found by
    walking `parent_id`: trees are small, and a table of all ancestors would have to follow every change."""

    __tablename__ = "tag"
    __table_args__ = (
        UniqueConstraint("owner_id", "value"),
        partial_index("ix_tag_parent_id", "parent_id", where="parent_id IS NOT NULL"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    owner_id: Mapped[str] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    value: Mapped[str] = mapped_column(String)
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("tag.id", ondelete="CASCADE"))
    color: Mapped[str | None] = mapped_column(String)
    description: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class TagAsset(Base):
    """An asset hangs on the leaf alone; the tags above are implied."""

    __tablename__ = "tag_asset"
    __table_args__ = (Index("ix_tag_asset_tag_id", "tag_id", "asset_id"),)

    asset_id: Mapped[str] = mapped_column(ForeignKey("asset.id", ondelete="CASCADE"), primary_key=True)
    tag_id: Mapped[str] = mapped_column(ForeignKey("tag.id", ondelete="CASCADE"), primary_key=True)
