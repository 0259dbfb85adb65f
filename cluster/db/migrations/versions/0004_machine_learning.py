"""What models say: embeddings of pictures and faces, printed text.

Revision: 0004.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

CORNERS = ("x1", "y1", "x2", "y2", "x3", "y3", "x4", "y4")


def upgrade() -> None:
    create_embeddings("smart_search", "asset_id", "asset")
    create_embeddings("face_search", "face_id", "asset_face")
    op.create_table(
        "embedding_counter",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", name="pk_embedding_counter"),
    )
    create_text()
    index_models()
    index_duplicates()
    create_merge_proposals()


def create_embeddings(table: str, key: str, of: str) -> None:
    op.create_table(
        table,
        sa.Column(key, sa.String(length=36), nullable=False),
        sa.Column("embedding", sa.LargeBinary(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint([key], [f"{of}.id"], name=f"fk_{table}_{key}_{of}", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint(key, name=f"pk_{table}"),
    )
    op.create_index(f"ix_{table}_seq", table, ["seq"], unique=True)


def index_models() -> None:
    op.create_index("ix_smart_search_model", "smart_search", ["model"])


def create_text() -> None:
    op.create_table(
        "asset_ocr",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("asset_id", sa.String(length=36), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        *(sa.Column(corner, sa.Float(), nullable=False) for corner in CORNERS),
        sa.Column("box_score", sa.Float(), nullable=False),
        sa.Column("text_score", sa.Float(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("is_visible", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["asset_id"], ["asset.id"], name="fk_asset_ocr_asset_id_asset", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_asset_ocr"),
    )
    op.create_index("ix_asset_ocr_asset_id", "asset_ocr", ["asset_id"])
    op.create_table(
        "ocr_search",
        sa.Column("asset_id", sa.String(length=36), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["asset_id"], ["asset.id"], name="fk_ocr_search_asset_id_asset", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("asset_id", name="pk_ocr_search"),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")  # stays on the way back: it may be another's
        operators = {"text": "gin_trgm_ops"}
        op.create_index("ix_ocr_search_text", "ocr_search", ["text"], postgresql_using="gin", postgresql_ops=operators)


def index_duplicates() -> None:
    grouped = sa.text("duplicate_id IS NOT NULL")
    columns = ["owner_id", "duplicate_id"]
    op.create_index("ix_asset_duplicate", "asset", columns, sqlite_where=grouped, postgresql_where=grouped)


def create_merge_proposals() -> None:
    op.create_table(
        "merge_proposal",
        sa.Column("first_id", sa.String(length=36), nullable=False),
        sa.Column("second_id", sa.String(length=36), nullable=False),
        sa.Column("faces", sa.Integer(), nullable=False),
        sa.Column("proposed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("declined_at", sa.DateTime(timezone=True), nullable=True),
        *(
            sa.ForeignKeyConstraint([one], ["person.id"], name=f"fk_merge_proposal_{one}_person", ondelete="CASCADE")
            for one in ("first_id", "second_id")
        ),
        sa.PrimaryKeyConstraint("first_id", "second_id", name="pk_merge_proposal"),
    )
    op.create_index("ix_merge_proposal_second_id", "merge_proposal", ["second_id"])


def downgrade() -> None:
    op.drop_index("ix_asset_duplicate", "asset")
    tables = ("merge_proposal", "ocr_search", "asset_ocr", "embedding_counter", "face_search", "smart_search")
    for table in tables:
        op.drop_table(table)
