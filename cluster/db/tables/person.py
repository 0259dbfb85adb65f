"""People and where their faces are. A face belongs to an asset; whose it is may change, or be unknown."""

from datetime import date, datetime

from sqlalchemy import Date, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from cluster.db.tables.base import Base, FilePath, UtcDateTime, partial_index


class Person(Base):
    """Somebody in a user's pictures. `name` and `thumbnail_path` are empty while unknown.

    `face_asset_id`: the face that stands for the person: the id of an `asset_face`, in Immich's words.
    """

    __tablename__ = "person"
    __table_args__ = (
        Index("ix_person_owner_id", "owner_id"),
        Index("ix_person_thumbnail_path", "thumbnail_path"),
        partial_index("ix_person_face_asset_id", "face_asset_id", where="face_asset_id IS NOT NULL"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    owner_id: Mapped[str] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String, default="")
    thumbnail_path: Mapped[str] = mapped_column(FilePath, default="")
    # a person and a face name each other: this key is added once both tables exist
    face_asset_id: Mapped[str | None] = mapped_column(ForeignKey("asset_face.id", ondelete="SET NULL", use_alter=True))
    birth_date: Mapped[date | None] = mapped_column(Date)
    color: Mapped[str | None] = mapped_column(String)
    is_hidden: Mapped[bool] = mapped_column(default=False)
    is_favorite: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class AssetFace(Base):
    """A face in an asset. The box is in pixels of an image of `image_width_px` x `image_height_px`.

    `source_type`: who found it; `assigned_by`: who said whose it is, None while nobody did. Both are
    machine-learning, exif or manual. One that a user removed stays with `deleted_at`, so that it is not found again.
    """

    __tablename__ = "asset_face"
    __table_args__ = (
        Index("ix_asset_face_asset_id", "asset_id"),
        partial_index("ix_asset_face_person_id", "person_id", "asset_id", where="person_id IS NOT NULL"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    asset_id: Mapped[str] = mapped_column(ForeignKey("asset.id", ondelete="CASCADE"))
    person_id: Mapped[str | None] = mapped_column(ForeignKey("person.id", ondelete="SET NULL"))
    image_width_px: Mapped[int] = mapped_column(default=0)
    image_height_px: Mapped[int] = mapped_column(default=0)
    box_x1_px: Mapped[int] = mapped_column(default=0)
    box_y1_px: Mapped[int] = mapped_column(default=0)
    box_x2_px: Mapped[int] = mapped_column(default=0)
    box_y2_px: Mapped[int] = mapped_column(default=0)
    source_type: Mapped[str] = mapped_column(String, default="machine-learning")
    assigned_by: Mapped[str | None] = mapped_column(String)
    is_visible: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class MergeProposal(Base):
    """Two people whom somebody named, or marked otherwise, and who look like one. `first_id` is the smaller id.
    `faces`: how many speak for it. A proposal that was declined stays, so that it is not made again."""

    __tablename__ = "merge_proposal"
    __table_args__ = (Index("ix_merge_proposal_second_id", "second_id"),)

    first_id: Mapped[str] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), primary_key=True)
    second_id: Mapped[str] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), primary_key=True)
    faces: Mapped[int]
    proposed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    declined_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
