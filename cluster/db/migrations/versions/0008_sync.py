"""Clients keep a copy of their library: what changed, and how far each device was told.

`migrate` fills the first table.

Revision: 0008.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sync_change",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("tx", sa.BigInteger(), nullable=False),
        sa.Column("entity", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("scope", sa.String(length=36), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name="pk_sync_change"),
        sa.UniqueConstraint("entity", "key", name="uq_sync_change_entity_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_sync_change_place", "sync_change", ["entity", "scope", "tx", "seq"])
    where = sa.text("deleted_at IS NOT NULL")
    op.create_index(
        "ix_sync_change_deleted_at", "sync_change", ["deleted_at"], sqlite_where=where, postgresql_where=where
    )
    op.create_table(
        "session_sync_checkpoint",
        sa.Column("session_id", sa.String(length=36), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("ack", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["session.id"],
            name="fk_session_sync_checkpoint_session_id_session",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("session_id", "type", name="pk_session_sync_checkpoint"),
    )


def downgrade() -> None:
    op.drop_table("session_sync_checkpoint")
    op.drop_table("sync_change")
