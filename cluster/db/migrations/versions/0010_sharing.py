"""Links that show assets to whoever has them, and what people say of an album.

Revision: 0010.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

OF_ALBUMS = "album_id IS NOT NULL"


def upgrade() -> None:
    create_links()
    create_activities()


def create_links() -> None:
    op.create_table(
        "shared_link",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("slug", sa.String(), nullable=True),
        sa.Column("album_id", sa.String(length=36), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("password", sa.String(), nullable=True),
        sa.Column("allow_upload", sa.Boolean(), nullable=False),
        sa.Column("allow_download", sa.Boolean(), nullable=False),
        sa.Column("show_metadata", sa.Boolean(), nullable=False),
        sa.Column("start_offset_ms", sa.BigInteger(), nullable=True),
        sa.Column("start_page_id", sa.String(length=36), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name="fk_shared_link_user_id_user", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["album_id"], ["album.id"], name="fk_shared_link_album_id_album", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_shared_link"),
        sa.UniqueConstraint("key", name="uq_shared_link_key"),
        sa.UniqueConstraint("slug", name="uq_shared_link_slug"),
    )
    op.create_index("ix_shared_link_user_id", "shared_link", ["user_id"])
    condition = sa.text(OF_ALBUMS)
    op.create_index(
        "ix_shared_link_album_id", "shared_link", ["album_id"], sqlite_where=condition, postgresql_where=condition
    )
    op.create_table(
        "shared_link_asset",
        sa.Column("link_id", sa.String(length=36), nullable=False),
        sa.Column("asset_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(
            ["link_id"], ["shared_link.id"], name="fk_shared_link_asset_link_id_shared_link", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["asset_id"], ["asset.id"], name="fk_shared_link_asset_asset_id_asset", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("link_id", "asset_id", name="pk_shared_link_asset"),
    )
    op.create_index("ix_shared_link_asset_asset_id", "shared_link_asset", ["asset_id"])


def create_activities() -> None:
    op.create_table(
        "activity",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("album_id", sa.String(length=36), nullable=False),
        sa.Column("asset_id", sa.String(length=36), nullable=True),
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("is_liked", sa.Boolean(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["album_id", "asset_id"],
            ["album_asset.album_id", "album_asset.asset_id"],
            name="fk_activity_album_id_asset_id_album_asset",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["album_id"], ["album.id"], name="fk_activity_album_id_album", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name="fk_activity_user_id_user", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_activity"),
    )
    op.create_index("ix_activity_album_id_asset_id", "activity", ["album_id", "asset_id"])
    op.create_index("ix_activity_user_id", "activity", ["user_id"])
    index_likes("uq_activity_like_of_asset", ["asset_id", "album_id", "user_id"], "is_liked AND asset_id IS NOT NULL")
    index_likes("uq_activity_like_of_album", ["album_id", "user_id"], "is_liked AND asset_id IS NULL")


def index_likes(name: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, "activity", columns, unique=True, sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    op.drop_table("activity")
    op.drop_table("shared_link_asset")
    op.drop_table("shared_link")
