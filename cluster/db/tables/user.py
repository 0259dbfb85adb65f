"""People and how they prove who they are: users, sessions, API keys. Column names follow Immich's concepts."""

from datetime import datetime

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from cluster.db.tables.base import Base, UtcDateTime


class User(Base):
    """One account. `password`, `pin_code`: hashes by bcrypt. `quota_usage_bytes`: sum of the sizes of uploaded
    originals. Deleted ones stay for a while."""

    __tablename__ = "user"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    email: Mapped[str] = mapped_column(String, unique=True)
    name: Mapped[str] = mapped_column(String, default="")
    password: Mapped[str] = mapped_column(String, default="")
    pin_code: Mapped[str | None] = mapped_column(String)
    is_admin: Mapped[bool] = mapped_column(default=False)
    avatar_color: Mapped[str] = mapped_column(String, default="primary")
    profile_image_path: Mapped[str] = mapped_column(String, default="")
    profile_changed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    storage_label: Mapped[str | None] = mapped_column(String, unique=True)
    should_change_password: Mapped[bool] = mapped_column(default=True)
    quota_size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    quota_usage_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    status: Mapped[str] = mapped_column(String, default="active")
    is_onboarded: Mapped[bool] = mapped_column(default=False)
    preferences: Mapped[dict[str, object]] = mapped_column(JSON, default=dict)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Session(Base):
    """A signed-in device. `token_sha256` is hex; the token itself is never stored. `pin_expires_at`: until then it may
    see what is locked."""

    __tablename__ = "session"
    __table_args__ = (Index("ix_session_user_id", "user_id"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    token_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    device_type: Mapped[str] = mapped_column(String, default="")
    device_os: Mapped[str] = mapped_column(String, default="")
    app_version: Mapped[str | None] = mapped_column(String)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    pin_expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    is_pending_sync_reset: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ApiKey(Base):
    """A key with permissions. `key_sha256` is hex; the secret itself is shown once and never stored."""

    __tablename__ = "api_key"
    __table_args__ = (Index("ix_api_key_user_id", "user_id"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    name: Mapped[str] = mapped_column(String)
    key_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    permissions: Mapped[list[str]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
