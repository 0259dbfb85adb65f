"""Everything that the first release stores: users, photos and videos, the queue, the event log.

Revision: 0001. A migration repeats what the models said on its day, so it uses plain types and none of their code.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def rising_id() -> Any:
    """SQLite counts up INTEGER alone."""
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def time() -> Any:
    return sa.DateTime(timezone=True)


def where(condition: str) -> Any:
    """The arguments of a partial index."""
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def upgrade() -> None:
    op.create_table(
        "event",
        sa.Column("id", rising_id(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=True),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_event"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_event_at", "event", ["at"])
    op.create_table(
        "job",
        sa.Column("id", rising_id(), nullable=False),
        sa.Column("queue", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("order_key", sa.BigInteger(), nullable=False),
        sa.Column("enqueued_at", sa.BigInteger(), nullable=False),
        sa.Column("run_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("deaths", sa.Integer(), nullable=False),
        sa.Column("alone", sa.Boolean(), nullable=False),
        sa.Column("dedup_key", sa.String(), nullable=True),
        sa.Column("asset_id", sa.String(length=36), nullable=True),
        sa.Column("lease_token", sa.String(), nullable=True),
        sa.Column("lease_expires_at", sa.BigInteger(), nullable=True),
        sa.Column("controller", sa.String(), nullable=True),
        sa.Column("incarnation", sa.String(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_job"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_job_active", "job", ["queue"], **where("state = 'active'"))
    op.create_index("ix_job_delayed", "job", ["run_at", "queue"], **where("state = 'delayed'"))
    op.create_index("ix_job_failed", "job", ["queue", "id"], **where("state = 'failed'"))
    op.create_index("ix_job_waiting", "job", ["queue", "order_key", "id"], **where("state = 'waiting'"))
    op.create_index("uq_job_dedup_key_active", "job", ["dedup_key"], unique=True, **where("state = 'active'"))
    op.create_index("uq_job_dedup_key_others", "job", ["dedup_key"], unique=True, **where("state <> 'active'"))
    op.create_table(
        "job_attempt",
        sa.Column("id", rising_id(), nullable=False),
        sa.Column("job_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("queue", sa.String(), nullable=False),
        sa.Column("asset_id", sa.String(length=36), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("error_class", sa.String(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("traceback_tail", sa.Text(), nullable=False),
        sa.Column("stderr_tail", sa.Text(), nullable=False),
        sa.Column("node", sa.String(), nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False),
        sa.Column("peak_memory_mb", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_job_attempt"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_job_attempt_at", "job_attempt", ["at"])
    op.create_index("ix_job_attempt_job_id", "job_attempt", ["job_id"])
    op.create_index("ix_job_attempt_queue", "job_attempt", ["queue", "id"])
    op.create_table(
        "job_history",
        sa.Column("id", rising_id(), nullable=False),
        sa.Column("job_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("queue", sa.String(), nullable=False),
        sa.Column("asset_id", sa.String(length=36), nullable=True),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("node", sa.String(), nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False),
        sa.Column("wait_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_job_history"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_job_history_ended_at", "job_history", ["ended_at"])
    op.create_index("ix_job_history_queue", "job_history", ["queue", "id"])
    op.create_table(
        "job_statistic",
        sa.Column("minute", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("queue", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("skipped", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.BigInteger(), nullable=False),
        sa.Column("retried", sa.BigInteger(), nullable=False),
        sa.Column("run_ms", sa.BigInteger(), nullable=False),
        sa.Column("wait_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("minute", "queue", "name", name="pk_job_statistic"),
    )
    op.create_table(
        "queue",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("paused_reason", sa.Text(), nullable=False),
        sa.Column("wait_reason", sa.Text(), nullable=False),
        sa.Column("owner", sa.String(), nullable=True),
        sa.Column("owner_expires_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_queue"),
    )
    op.create_table(
        "system_metadata",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_system_metadata"),
    )
    op.create_table(
        "user",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("password", sa.String(), nullable=False),
        sa.Column("is_admin", sa.Boolean(), nullable=False),
        sa.Column("avatar_color", sa.String(), nullable=False),
        sa.Column("profile_image_path", sa.String(), nullable=False),
        sa.Column("profile_changed_at", time(), nullable=False),
        sa.Column("storage_label", sa.String(), nullable=True),
        sa.Column("should_change_password", sa.Boolean(), nullable=False),
        sa.Column("quota_size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("quota_usage_bytes", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("is_onboarded", sa.Boolean(), nullable=False),
        sa.Column("preferences", sa.JSON(), nullable=False),
        sa.Column("created_at", time(), nullable=False),
        sa.Column("updated_at", time(), nullable=False),
        sa.Column("deleted_at", time(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_user"),
        sa.UniqueConstraint("email", name="uq_user_email"),
        sa.UniqueConstraint("storage_label", name="uq_user_storage_label"),
    )
    op.create_table(
        "api_key",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("key_sha256", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("permissions", sa.JSON(), nullable=False),
        sa.Column("created_at", time(), nullable=False),
        sa.Column("updated_at", time(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name="fk_api_key_user_id_user", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_api_key"),
        sa.UniqueConstraint("key_sha256", name="uq_api_key_key_sha256"),
    )
    op.create_index("ix_api_key_user_id", "api_key", ["user_id"])
    op.create_table(
        "library",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("owner_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("import_paths", sa.JSON(), nullable=False),
        sa.Column("exclusion_patterns", sa.JSON(), nullable=False),
        sa.Column("created_at", time(), nullable=False),
        sa.Column("updated_at", time(), nullable=False),
        sa.Column("deleted_at", time(), nullable=True),
        sa.Column("refreshed_at", time(), nullable=True),
        sa.ForeignKeyConstraint(["owner_id"], ["user.id"], name="fk_library_owner_id_user", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_library"),
    )
    op.create_table(
        "session",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("token_sha256", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("device_type", sa.String(), nullable=False),
        sa.Column("device_os", sa.String(), nullable=False),
        sa.Column("app_version", sa.String(), nullable=True),
        sa.Column("expires_at", time(), nullable=True),
        sa.Column("created_at", time(), nullable=False),
        sa.Column("updated_at", time(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name="fk_session_user_id_user", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_session"),
        sa.UniqueConstraint("token_sha256", name="uq_session_token_sha256"),
    )
    op.create_index("ix_session_user_id", "session", ["user_id"])
    op.create_table(
        "asset",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("owner_id", sa.String(length=36), nullable=False),
        sa.Column("library_id", sa.String(length=36), nullable=True),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("original_path", sa.String(), nullable=False),
        sa.Column("original_file_name", sa.String(), nullable=False),
        sa.Column("checksum", sa.LargeBinary(), nullable=False),
        sa.Column("checksum_algorithm", sa.String(), nullable=False),
        sa.Column("thumbhash", sa.LargeBinary(), nullable=True),
        sa.Column("file_created_at", time(), nullable=False),
        sa.Column("file_modified_at", time(), nullable=False),
        sa.Column("local_date_time", time(), nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), nullable=True),
        sa.Column("width_px", sa.Integer(), nullable=True),
        sa.Column("height_px", sa.Integer(), nullable=True),
        sa.Column("is_favorite", sa.Boolean(), nullable=False),
        sa.Column("is_offline", sa.Boolean(), nullable=False),
        sa.Column("is_external", sa.Boolean(), nullable=False),
        sa.Column("is_edited", sa.Boolean(), nullable=False),
        sa.Column("visibility", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("live_photo_video_id", sa.String(length=36), nullable=True),
        sa.Column("duplicate_id", sa.String(length=36), nullable=True),
        sa.Column("created_at", time(), nullable=False),
        sa.Column("updated_at", time(), nullable=False),
        sa.Column("deleted_at", time(), nullable=True),
        sa.ForeignKeyConstraint(["library_id"], ["library.id"], name="fk_asset_library_id_library", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["live_photo_video_id"], ["asset.id"], name="fk_asset_live_photo_video_id_asset", ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["owner_id"], ["user.id"], name="fk_asset_owner_id_user", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_asset"),
    )
    op.create_index("ix_asset_deleted_at", "asset", ["deleted_at"])
    op.create_index("ix_asset_live_photo_video_id", "asset", ["live_photo_video_id"])
    op.create_index("ix_asset_original_path", "asset", ["original_path"])
    op.create_index("ix_asset_owner_created", "asset", ["owner_id", "file_created_at"])
    op.create_index(
        "uq_asset_owner_checksum", "asset", ["owner_id", "checksum"], unique=True, **where("library_id IS NULL")
    )
    op.create_index(
        "uq_asset_owner_library_checksum",
        "asset",
        ["owner_id", "library_id", "checksum"],
        unique=True,
        **where("library_id IS NOT NULL"),
    )
    op.create_table(
        "asset_audio",
        sa.Column("asset_id", sa.String(length=36), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["asset_id"], ["asset.id"], name="fk_asset_audio_asset_id_asset", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("asset_id", name="pk_asset_audio"),
    )
    op.create_table(
        "asset_exif",
        sa.Column("asset_id", sa.String(length=36), nullable=False),
        sa.Column("file_size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("make", sa.String(), nullable=True),
        sa.Column("model", sa.String(), nullable=True),
        sa.Column("lens_model", sa.String(), nullable=True),
        sa.Column("image_width_px", sa.Integer(), nullable=True),
        sa.Column("image_height_px", sa.Integer(), nullable=True),
        sa.Column("orientation", sa.String(), nullable=True),
        sa.Column("date_time_original", time(), nullable=True),
        sa.Column("modify_date", time(), nullable=True),
        sa.Column("time_zone", sa.String(), nullable=True),
        sa.Column("latitude", sa.Float(), nullable=True),
        sa.Column("longitude", sa.Float(), nullable=True),
        sa.Column("city", sa.String(), nullable=True),
        sa.Column("state", sa.String(), nullable=True),
        sa.Column("country", sa.String(), nullable=True),
        sa.Column("f_number", sa.Float(), nullable=True),
        sa.Column("focal_length", sa.Float(), nullable=True),
        sa.Column("iso", sa.Integer(), nullable=True),
        sa.Column("exposure_time", sa.String(), nullable=True),
        sa.Column("fps", sa.Float(), nullable=True),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("rating", sa.Integer(), nullable=True),
        sa.Column("projection_type", sa.String(), nullable=True),
        sa.Column("profile_description", sa.String(), nullable=True),
        sa.Column("colorspace", sa.String(), nullable=True),
        sa.Column("bits_per_sample", sa.Integer(), nullable=True),
        sa.Column("live_photo_cid", sa.String(), nullable=True),
        sa.Column("auto_stack_id", sa.String(), nullable=True),
        sa.Column("tags", sa.JSON(), nullable=True),
        sa.Column("locked_properties", sa.JSON(), nullable=False),
        sa.Column("updated_at", time(), nullable=False),
        sa.ForeignKeyConstraint(["asset_id"], ["asset.id"], name="fk_asset_exif_asset_id_asset", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("asset_id", name="pk_asset_exif"),
    )
    op.create_index("ix_asset_exif_live_photo_cid", "asset_exif", ["live_photo_cid"])
    op.create_table(
        "asset_file",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("asset_id", sa.String(length=36), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("is_edited", sa.Boolean(), nullable=False),
        sa.Column("is_progressive", sa.Boolean(), nullable=False),
        sa.Column("is_transparent", sa.Boolean(), nullable=False),
        sa.Column("created_at", time(), nullable=False),
        sa.Column("updated_at", time(), nullable=False),
        sa.ForeignKeyConstraint(["asset_id"], ["asset.id"], name="fk_asset_file_asset_id_asset", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_asset_file"),
        sa.UniqueConstraint("asset_id", "type", "is_edited", name="uq_asset_file_asset_type_edited"),
    )
    op.create_index("ix_asset_file_path", "asset_file", ["path"])
    op.create_table(
        "asset_job_status",
        sa.Column("asset_id", sa.String(length=36), nullable=False),
        sa.Column("metadata_extracted_at", time(), nullable=True),
        sa.Column("faces_recognized_at", time(), nullable=True),
        sa.Column("duplicates_detected_at", time(), nullable=True),
        sa.Column("ocr_at", time(), nullable=True),
        sa.ForeignKeyConstraint(
            ["asset_id"], ["asset.id"], name="fk_asset_job_status_asset_id_asset", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("asset_id", name="pk_asset_job_status"),
    )
    op.create_table(
        "asset_video",
        sa.Column("asset_id", sa.String(length=36), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["asset_id"], ["asset.id"], name="fk_asset_video_asset_id_asset", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("asset_id", name="pk_asset_video"),
    )

    if op.get_bind().dialect.name == "postgresql":
        # Every job's row changes three times in its short life: without eager clean-up the lease walks over dead rows.
        op.execute(
            "ALTER TABLE job SET (fillfactor = 70, autovacuum_vacuum_cost_delay = 0, "
            "autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500, "
            "autovacuum_analyze_scale_factor = 0.02, autovacuum_analyze_threshold = 500)"
        )


def downgrade() -> None:
    op.drop_table("asset_video")
    op.drop_table("asset_job_status")
    op.drop_table("asset_file")
    op.drop_table("asset_exif")
    op.drop_table("asset_audio")
    op.drop_table("asset")
    op.drop_table("session")
    op.drop_table("library")
    op.drop_table("api_key")
    op.drop_table("user")
    op.drop_table("system_metadata")
    op.drop_table("queue")
    op.drop_table("job_statistic")
    op.drop_table("job_history")
    op.drop_table("job_attempt")
    op.drop_table("job")
    op.drop_table("event")
