"""Photos and videos: the asset, what its file says (exif, streams), its derived files and what was done to it."""

from datetime import datetime

from sqlalchemy import JSON, BigInteger, Float, ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from cluster.db.tables.base import Base, FilePath, UtcDateTime, partial_index


class Library(Base):
    """A folder tree outside the media root whose files are assets in place."""

    __tablename__ = "library"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    owner_id: Mapped[str] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String)
    import_paths: Mapped[list[str]] = mapped_column(JSON)
    exclusion_patterns: Mapped[list[str]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    refreshed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Asset(Base):
    """One photo or video. `checksum`: SHA-1 of the file (20 bytes). `local_date_time`: wall-clock time as if UTC.

    `width_px`, `height_px` are upright. `type` is IMAGE or VIDEO (OTHER, AUDIO exist on the wire).
    """

    __tablename__ = "asset"
    __table_args__ = (
        # an upload is unique per owner; a file of an external library per library
        partial_index("uq_asset_owner_checksum", "owner_id", "checksum", unique=True, where="library_id IS NULL"),
        partial_index(
            "uq_asset_owner_library_checksum",
            "owner_id",
            "library_id",
            "checksum",
            unique=True,
            where="library_id IS NOT NULL",
        ),
        Index("ix_asset_owner_created", "owner_id", "file_created_at"),
        Index("ix_asset_original_path", "original_path"),
        # walks in the order of arrival, which a stored time can take up again
        Index("ix_asset_created_at", "created_at", "id"),
        # all that the months of a timeline are counted by: SQLite reads rows for a column that only the condition names
        partial_index(
            "ix_asset_timeline",
            *("owner_id", "visibility", "local_date_time", "is_favorite", "deleted_at"),
            where="deleted_at IS NULL",
        ),
        partial_index("ix_asset_trash", "owner_id", "status", "deleted_at", where="deleted_at IS NOT NULL"),
        # a library is compared with its disk folder by folder, in the order of paths
        partial_index("ix_asset_library_path", "library_id", "original_path", where="library_id IS NOT NULL"),
        partial_index("ix_asset_live_photo_video_id", "live_photo_video_id", where="live_photo_video_id IS NOT NULL"),
        partial_index("ix_asset_stack_id", "stack_id", where="stack_id IS NOT NULL"),
        partial_index("ix_asset_duplicate", "owner_id", "duplicate_id", where="duplicate_id IS NOT NULL"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    owner_id: Mapped[str] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    library_id: Mapped[str | None] = mapped_column(ForeignKey("library.id", ondelete="CASCADE"))
    type: Mapped[str] = mapped_column(String)
    original_path: Mapped[str] = mapped_column(FilePath)
    original_file_name: Mapped[str] = mapped_column(String)
    checksum: Mapped[bytes] = mapped_column(LargeBinary)
    checksum_algorithm: Mapped[str] = mapped_column(String, default="sha1")
    thumbhash: Mapped[bytes | None] = mapped_column(LargeBinary)
    file_created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    file_modified_at: Mapped[datetime] = mapped_column(UtcDateTime)
    local_date_time: Mapped[datetime] = mapped_column(UtcDateTime)
    duration_ms: Mapped[int | None] = mapped_column(BigInteger)
    width_px: Mapped[int | None]
    height_px: Mapped[int | None]
    is_favorite: Mapped[bool] = mapped_column(default=False)
    is_offline: Mapped[bool] = mapped_column(default=False)
    is_external: Mapped[bool] = mapped_column(default=False)
    is_edited: Mapped[bool] = mapped_column(default=False)
    visibility: Mapped[str] = mapped_column(String, default="timeline")
    status: Mapped[str] = mapped_column(String, default="active")
    live_photo_video_id: Mapped[str | None] = mapped_column(ForeignKey("asset.id", ondelete="SET NULL"))
    # a stack and its members name each other: this key is added once both tables exist
    stack_id: Mapped[str | None] = mapped_column(ForeignKey("stack.id", ondelete="SET NULL", use_alter=True))
    duplicate_id: Mapped[str | None] = mapped_column(String(36))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class AssetExif(Base):
    """What the file says. Right after upload only `file_size_bytes` is set. `locked_properties`: columns that a person
    changed and that extraction must not overwrite. Source: spec/jobs-media.md §1.2."""

    __tablename__ = "asset_exif"
    __table_args__ = (
        # of what people search by, a city alone leaves few
        partial_index("ix_asset_exif_city", "city", where="city IS NOT NULL"),
        partial_index("ix_asset_exif_position", "latitude", "longitude", where="latitude IS NOT NULL"),
        partial_index("ix_asset_exif_live_photo_cid", "live_photo_cid", where="live_photo_cid IS NOT NULL"),
    )

    asset_id: Mapped[str] = mapped_column(ForeignKey("asset.id", ondelete="CASCADE"), primary_key=True)
    file_size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    make: Mapped[str | None] = mapped_column(String)
    model: Mapped[str | None] = mapped_column(String)
    lens_model: Mapped[str | None] = mapped_column(String)
    image_width_px: Mapped[int | None]
    image_height_px: Mapped[int | None]
    orientation: Mapped[str | None] = mapped_column(String)
    date_time_original: Mapped[datetime | None] = mapped_column(UtcDateTime)
    modify_date: Mapped[datetime | None] = mapped_column(UtcDateTime)
    time_zone: Mapped[str | None] = mapped_column(String)
    latitude: Mapped[float | None] = mapped_column(Float)
    longitude: Mapped[float | None] = mapped_column(Float)
    city: Mapped[str | None] = mapped_column(String)
    state: Mapped[str | None] = mapped_column(String)
    country: Mapped[str | None] = mapped_column(String)
    f_number: Mapped[float | None] = mapped_column(Float)
    focal_length: Mapped[float | None] = mapped_column(Float)
    iso: Mapped[int | None]
    exposure_time: Mapped[str | None] = mapped_column(String)
    fps: Mapped[float | None] = mapped_column(Float)
    description: Mapped[str] = mapped_column(Text, default="")
    rating: Mapped[int | None]
    projection_type: Mapped[str | None] = mapped_column(String)
    profile_description: Mapped[str | None] = mapped_column(String)
    colorspace: Mapped[str | None] = mapped_column(String)
    bits_per_sample: Mapped[int | None]
    live_photo_cid: Mapped[str | None] = mapped_column(String)
    auto_stack_id: Mapped[str | None] = mapped_column(String)
    tags: Mapped[list[str] | None] = mapped_column(JSON)
    locked_properties: Mapped[list[str]] = mapped_column(JSON, default=list)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class AssetFile(Base):
    """A file that belongs to an asset: `type` is thumbnail, preview, fullsize, encoded_video or sidecar."""

    __tablename__ = "asset_file"
    __table_args__ = (UniqueConstraint("asset_id", "type", "is_edited", name="uq_asset_file_asset_type_edited"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    asset_id: Mapped[str] = mapped_column(ForeignKey("asset.id", ondelete="CASCADE"))
    type: Mapped[str] = mapped_column(String)
    path: Mapped[str] = mapped_column(FilePath, index=True)
    is_edited: Mapped[bool] = mapped_column(default=False)
    is_progressive: Mapped[bool] = mapped_column(default=False)
    is_transparent: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class AssetJobStatus(Base):
    """When each step was last done, for the "missing" runs."""

    __tablename__ = "asset_job_status"

    asset_id: Mapped[str] = mapped_column(ForeignKey("asset.id", ondelete="CASCADE"), primary_key=True)
    metadata_extracted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    faces_recognized_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    duplicates_detected_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ocr_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class AssetVideo(Base):
    """Facts of the chosen video stream and its container; thumbnails and transcoding use these, not a new probe.
    Colour columns are ITU-T H.273 numbers."""

    __tablename__ = "asset_video"

    asset_id: Mapped[str] = mapped_column(ForeignKey("asset.id", ondelete="CASCADE"), primary_key=True)
    facts: Mapped[dict[str, object]] = mapped_column(JSON)


class AssetAudio(Base):
    """Facts of the chosen audio stream."""

    __tablename__ = "asset_audio"

    asset_id: Mapped[str] = mapped_column(ForeignKey("asset.id", ondelete="CASCADE"), primary_key=True)
    facts: Mapped[dict[str, object]] = mapped_column(JSON)


class AssetMetadata(Base):
    """What a client wants remembered of an asset, under a key of its own."""

    __tablename__ = "asset_metadata"

    asset_id: Mapped[str] = mapped_column(ForeignKey("asset.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(String, primary_key=True)
    value: Mapped[dict[str, object]] = mapped_column(JSON)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
