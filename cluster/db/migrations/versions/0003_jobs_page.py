"""What every job of the jobs page stores: people, tags, albums, memories, stacks, moves, integrity, encodes in parts.

Indexes of columns that are mostly empty become partial, paths are ordered alike on both databases.

Revision: 0003.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def time() -> Any:
    return sa.DateTime(timezone=True)


def path() -> Any:
    return sa.String().with_variant(sa.String(collation="C"), "postgresql")


def where(condition: str) -> Any:
    """The arguments of a partial index."""
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def is_postgres() -> bool:
    return bool(op.get_bind().dialect.name == "postgresql")


def add_reference(table: str, column: str, other: str) -> None:
    """A nullable foreign key in a table that stands already. SQLite copies the table for it."""
    with op.batch_alter_table(table) as batch:
        batch.add_column(sa.Column(column, sa.String(length=36), nullable=True))
        batch.create_foreign_key(f"fk_{table}_{column}_{other}", other, [column], ["id"], ondelete="SET NULL")


def drop_reference(table: str, column: str, other: str) -> None:
    with op.batch_alter_table(table) as batch:
        batch.drop_constraint(f"fk_{table}_{column}_{other}", type_="foreignkey")
        batch.drop_column(column)


def upgrade() -> None:
    create_people()
    create_tags()
    create_albums()
    create_memories()
    create_stacks()
    create_file_logs()
    create_video_parts()
    op.add_column("job", sa.Column("progress", sa.Float(), nullable=True))
    if is_postgres():
        op.alter_column("asset", "original_path", existing_nullable=False, type_=path())
        op.alter_column("asset_file", "path", existing_nullable=False, type_=path())
    index_assets()


def create_people() -> None:
    op.create_table(
        "person",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("owner_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("thumbnail_path", path(), nullable=False),
        sa.Column("birth_date", sa.Date(), nullable=True),
        sa.Column("color", sa.String(), nullable=True),
        sa.Column("is_hidden", sa.Boolean(), nullable=False),
        sa.Column("is_favorite", sa.Boolean(), nullable=False),
        sa.Column("created_at", time(), nullable=False),
        sa.Column("updated_at", time(), nullable=False),
        sa.ForeignKeyConstraint(["owner_id"], ["user.id"], name="fk_person_owner_id_user", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_person"),
    )
    op.create_index("ix_person_owner_id", "person", ["owner_id"])
    op.create_index("ix_person_thumbnail_path", "person", ["thumbnail_path"])
    op.create_table(
        "asset_face",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("asset_id", sa.String(length=36), nullable=False),
        sa.Column("person_id", sa.String(length=36), nullable=True),
        sa.Column("image_width_px", sa.Integer(), nullable=False),
        sa.Column("image_height_px", sa.Integer(), nullable=False),
        sa.Column("box_x1_px", sa.Integer(), nullable=False),
        sa.Column("box_y1_px", sa.Integer(), nullable=False),
        sa.Column("box_x2_px", sa.Integer(), nullable=False),
        sa.Column("box_y2_px", sa.Integer(), nullable=False),
        sa.Column("source_type", sa.String(), nullable=False),
        sa.Column("assigned_by", sa.String(), nullable=True),
        sa.Column("is_visible", sa.Boolean(), nullable=False),
        sa.Column("created_at", time(), nullable=False),
        sa.Column("updated_at", time(), nullable=False),
        sa.Column("deleted_at", time(), nullable=True),
        sa.ForeignKeyConstraint(["asset_id"], ["asset.id"], name="fk_asset_face_asset_id_asset", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name="fk_asset_face_person_id_person", ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_asset_face"),
    )
    op.create_index("ix_asset_face_asset_id", "asset_face", ["asset_id"])
    op.create_index(
        "ix_asset_face_person_id", "asset_face", ["person_id", "asset_id"], **where("person_id IS NOT NULL")
    )
    add_reference("person", "face_asset_id", "asset_face")
    op.create_index("ix_person_face_asset_id", "person", ["face_asset_id"], **where("face_asset_id IS NOT NULL"))


def create_tags() -> None:
    op.create_table(
        "tag",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("owner_id", sa.String(length=36), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.Column("parent_id", sa.String(length=36), nullable=True),
        sa.Column("color", sa.String(), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("created_at", time(), nullable=False),
        sa.Column("updated_at", time(), nullable=False),
        sa.ForeignKeyConstraint(["owner_id"], ["user.id"], name="fk_tag_owner_id_user", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["parent_id"], ["tag.id"], name="fk_tag_parent_id_tag", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_tag"),
        sa.UniqueConstraint("owner_id", "value", name="uq_tag_owner_id_value"),
    )
    op.create_index("ix_tag_parent_id", "tag", ["parent_id"], **where("parent_id IS NOT NULL"))
    op.create_table(
        "tag_asset",
        sa.Column("asset_id", sa.String(length=36), nullable=False),
        sa.Column("tag_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(["asset_id"], ["asset.id"], name="fk_tag_asset_asset_id_asset", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["tag_id"], ["tag.id"], name="fk_tag_asset_tag_id_tag", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("asset_id", "tag_id", name="pk_tag_asset"),
    )
    op.create_index("ix_tag_asset_tag_id", "tag_asset", ["tag_id", "asset_id"])


def create_albums() -> None:
    op.create_table(
        "album",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("owner_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("thumbnail_asset_id", sa.String(length=36), nullable=True),
        sa.Column("order", sa.String(), nullable=False),
        sa.Column("is_activity_enabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", time(), nullable=False),
        sa.Column("updated_at", time(), nullable=False),
        sa.Column("deleted_at", time(), nullable=True),
        sa.ForeignKeyConstraint(["owner_id"], ["user.id"], name="fk_album_owner_id_user", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["thumbnail_asset_id"], ["asset.id"], name="fk_album_thumbnail_asset_id_asset", ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_album"),
    )
    op.create_index("ix_album_owner_id", "album", ["owner_id"])
    op.create_index(
        "ix_album_thumbnail_asset_id", "album", ["thumbnail_asset_id"], **where("thumbnail_asset_id IS NOT NULL")
    )
    op.create_table(
        "album_asset",
        sa.Column("album_id", sa.String(length=36), nullable=False),
        sa.Column("asset_id", sa.String(length=36), nullable=False),
        sa.Column("created_at", time(), nullable=False),
        sa.ForeignKeyConstraint(["album_id"], ["album.id"], name="fk_album_asset_album_id_album", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["asset_id"], ["asset.id"], name="fk_album_asset_asset_id_asset", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("album_id", "asset_id", name="pk_album_asset"),
    )
    op.create_index("ix_album_asset_asset_id", "album_asset", ["asset_id"])
    op.create_table(
        "album_user",
        sa.Column("album_id", sa.String(length=36), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("created_at", time(), nullable=False),
        sa.ForeignKeyConstraint(["album_id"], ["album.id"], name="fk_album_user_album_id_album", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name="fk_album_user_user_id_user", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("album_id", "user_id", name="pk_album_user"),
    )
    op.create_index("ix_album_user_user_id", "album_user", ["user_id"])


def create_memories() -> None:
    op.create_table(
        "memory",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("owner_id", sa.String(length=36), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("memory_at", time(), nullable=False),
        sa.Column("show_at", time(), nullable=True),
        sa.Column("hide_at", time(), nullable=True),
        sa.Column("seen_at", time(), nullable=True),
        sa.Column("is_saved", sa.Boolean(), nullable=False),
        sa.Column("created_at", time(), nullable=False),
        sa.Column("updated_at", time(), nullable=False),
        sa.Column("deleted_at", time(), nullable=True),
        sa.ForeignKeyConstraint(["owner_id"], ["user.id"], name="fk_memory_owner_id_user", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_memory"),
    )
    op.create_index("ix_memory_owner_id", "memory", ["owner_id"])
    op.create_table(
        "memory_asset",
        sa.Column("memory_id", sa.String(length=36), nullable=False),
        sa.Column("asset_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(
            ["memory_id"], ["memory.id"], name="fk_memory_asset_memory_id_memory", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["asset_id"], ["asset.id"], name="fk_memory_asset_asset_id_asset", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("memory_id", "asset_id", name="pk_memory_asset"),
    )
    op.create_index("ix_memory_asset_asset_id", "memory_asset", ["asset_id"])


def create_stacks() -> None:
    op.create_table(
        "stack",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("owner_id", sa.String(length=36), nullable=False),
        sa.Column("primary_asset_id", sa.String(length=36), nullable=False),
        sa.Column("created_at", time(), nullable=False),
        sa.Column("updated_at", time(), nullable=False),
        sa.ForeignKeyConstraint(["owner_id"], ["user.id"], name="fk_stack_owner_id_user", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["primary_asset_id"], ["asset.id"], name="fk_stack_primary_asset_id_asset", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_stack"),
        sa.UniqueConstraint("primary_asset_id", name="uq_stack_primary_asset_id"),
    )
    op.create_index("ix_stack_owner_id", "stack", ["owner_id"])
    add_reference("asset", "stack_id", "stack")
    op.create_index("ix_asset_stack_id", "asset", ["stack_id"], **where("stack_id IS NOT NULL"))


def create_file_logs() -> None:
    op.create_table(
        "move_history",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("entity_id", sa.String(length=36), nullable=False),
        sa.Column("path_type", sa.String(), nullable=False),
        sa.Column("old_path", path(), nullable=False),
        sa.Column("new_path", path(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("created_at", time(), nullable=False),
        sa.Column("updated_at", time(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_move_history"),
        sa.UniqueConstraint("entity_id", "path_type", name="uq_move_history_entity_id_path_type"),
        sa.UniqueConstraint("new_path", name="uq_move_history_new_path"),
    )
    op.create_index("ix_move_history_old_path", "move_history", ["old_path"])
    op.create_table(
        "integrity_report",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("path", path(), nullable=False),
        sa.Column("asset_id", sa.String(length=36), nullable=True),
        sa.Column("asset_file_id", sa.String(length=36), nullable=True),
        sa.Column("created_at", time(), nullable=False),
        sa.ForeignKeyConstraint(
            ["asset_id"], ["asset.id"], name="fk_integrity_report_asset_id_asset", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["asset_file_id"],
            ["asset_file.id"],
            name="fk_integrity_report_asset_file_id_asset_file",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_integrity_report"),
        sa.UniqueConstraint("type", "path", name="uq_integrity_report_type_path"),
    )
    for column in ("asset_id", "asset_file_id"):
        op.create_index(f"ix_integrity_report_{column}", "integrity_report", [column], **where(f"{column} IS NOT NULL"))


def create_video_parts() -> None:
    op.create_table(
        "video_encoding",
        sa.Column("asset_id", sa.String(length=36), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("created_at", time(), nullable=False),
        sa.Column("updated_at", time(), nullable=False),
        sa.ForeignKeyConstraint(
            ["asset_id"], ["asset.id"], name="fk_video_encoding_asset_id_asset", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("asset_id", name="pk_video_encoding"),
    )
    op.create_table(
        "video_segment",
        sa.Column("asset_id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("start_pts", sa.BigInteger(), nullable=True),
        sa.Column("frame_count", sa.Integer(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("path", path(), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("updated_at", time(), nullable=False),
        sa.ForeignKeyConstraint(
            ["asset_id"],
            ["video_encoding.asset_id"],
            name="fk_video_segment_asset_id_video_encoding",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("asset_id", "kind", "number", name="pk_video_segment"),
    )


def index_assets() -> None:
    """What the walks, the timeline and the trash ask for; columns that are mostly empty cost no more than they hold."""
    op.drop_index("ix_asset_deleted_at", "asset")
    op.drop_index("ix_asset_live_photo_video_id", "asset")
    op.drop_index("ix_asset_exif_live_photo_cid", "asset_exif")
    op.create_index(
        "ix_asset_live_photo_video_id",
        "asset",
        ["live_photo_video_id"],
        **where("live_photo_video_id IS NOT NULL"),
    )
    op.create_index(
        "ix_asset_exif_live_photo_cid", "asset_exif", ["live_photo_cid"], **where("live_photo_cid IS NOT NULL")
    )
    op.create_index("ix_asset_exif_city", "asset_exif", ["city"], **where("city IS NOT NULL"))
    op.create_index("ix_asset_created_at", "asset", ["created_at", "id"])
    op.create_index("ix_asset_exif_position", "asset_exif", ["latitude", "longitude"], **where("latitude IS NOT NULL"))
    op.create_index(
        "ix_asset_timeline",
        "asset",
        ["owner_id", "visibility", "local_date_time", "is_favorite", "deleted_at"],
        **where("deleted_at IS NULL"),
    )
    op.create_index("ix_asset_trash", "asset", ["owner_id", "status", "deleted_at"], **where("deleted_at IS NOT NULL"))
    op.create_index(
        "ix_asset_library_path", "asset", ["library_id", "original_path"], **where("library_id IS NOT NULL")
    )


def downgrade() -> None:
    for index in ("library_path", "trash", "timeline", "created_at", "live_photo_video_id", "stack_id"):
        op.drop_index(f"ix_asset_{index}", "asset")
    for index in ("city", "position", "live_photo_cid"):
        op.drop_index(f"ix_asset_exif_{index}", "asset_exif")
    op.create_index("ix_asset_exif_live_photo_cid", "asset_exif", ["live_photo_cid"])
    op.create_index("ix_asset_live_photo_video_id", "asset", ["live_photo_video_id"])
    op.create_index("ix_asset_deleted_at", "asset", ["deleted_at"])
    if is_postgres():
        op.alter_column("asset_file", "path", existing_nullable=False, type_=sa.String())
        op.alter_column("asset", "original_path", existing_nullable=False, type_=sa.String())
    op.drop_column("job", "progress")
    op.drop_table("video_segment")
    op.drop_table("video_encoding")
    op.drop_table("integrity_report")
    op.drop_table("move_history")
    drop_reference("asset", "stack_id", "stack")
    op.drop_table("stack")
    op.drop_table("memory_asset")
    op.drop_table("memory")
    op.drop_table("album_user")
    op.drop_table("album_asset")
    op.drop_table("album")
    op.drop_table("tag_asset")
    op.drop_table("tag")
    op.drop_index("ix_person_face_asset_id", "person")
    drop_reference("person", "face_asset_id", "asset_face")
    op.drop_table("asset_face")
    op.drop_table("person")
