"""What an admin sees and does: where a job runs and since when, who paused a queue and until when, who did what.

Revision: 0005.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("queue") as batch:
        batch.add_column(sa.Column("paused_by", sa.String(), nullable=False, server_default=""))
        batch.add_column(sa.Column("paused_until", sa.BigInteger(), nullable=True))
    with op.batch_alter_table("queue") as batch:
        batch.alter_column("paused_by", server_default=None)
    op.add_column("job", sa.Column("started_at", sa.BigInteger(), nullable=True))
    op.add_column("job", sa.Column("node", sa.String(), nullable=True))
    op.create_table(
        "admin_action",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=True),
        sa.Column("user_name", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_admin_action"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_admin_action_at", "admin_action", ["at"])


def downgrade() -> None:
    op.drop_table("admin_action")
    op.drop_column("job", "node")
    op.drop_column("job", "started_at")
    with op.batch_alter_table("queue") as batch:
        batch.drop_column("paused_until")
        batch.drop_column("paused_by")
