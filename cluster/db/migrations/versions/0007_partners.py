"""Partners: who shows whom what is on their timeline.

Revision: 0007.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "partner",
        sa.Column("shared_by_id", sa.String(length=36), nullable=False),
        sa.Column("shared_with_id", sa.String(length=36), nullable=False),
        sa.Column("in_timeline", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["shared_by_id"], ["user.id"], name="fk_partner_shared_by_id_user", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["shared_with_id"], ["user.id"], name="fk_partner_shared_with_id_user", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("shared_by_id", "shared_with_id", name="pk_partner"),
    )
    op.create_index("ix_partner_shared_with_id", "partner", ["shared_with_id"])


def downgrade() -> None:
    op.drop_table("partner")
