"""PIN codes, sessions that are unlocked by one, and how many tries a secret has had.

Revision: 0006.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("user", sa.Column("pin_code", sa.String(), nullable=True))
    op.add_column("session", sa.Column("pin_expires_at", sa.DateTime(timezone=True), nullable=True))
    with op.batch_alter_table("session") as batch:
        batch.add_column(sa.Column("is_pending_sync_reset", sa.Boolean(), nullable=False, server_default=sa.false()))
    with op.batch_alter_table("session") as batch:
        batch.alter_column("is_pending_sync_reset", server_default=None)
    op.create_table(
        "tried_secret",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_tried_secret"),
    )
    op.create_index("ix_tried_secret_due_at", "tried_secret", ["due_at"])
    op.create_table(
        "known_address",
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name="fk_known_address_user_id_user", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "address", name="pk_known_address"),
    )


def downgrade() -> None:
    op.drop_table("known_address")
    op.drop_table("tried_secret")
    op.drop_column("session", "is_pending_sync_reset")
    op.drop_column("session", "pin_expires_at")
    op.drop_column("user", "pin_code")
