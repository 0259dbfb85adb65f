"""Links that show assets to whoever has them.

Revision: 0008.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

OF_ALBUMS = "album_id IS NOT NULL"


def upgrade() -> None:
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


def downgrade() -> None:
    op.drop_table("shared_link_asset")
    op.drop_table("shared_link")
