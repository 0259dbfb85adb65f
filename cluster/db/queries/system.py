"""The system config as stored: only what differs from the defaults."""

from sqlalchemy.orm import Session

from cluster.db.tables.system import SystemMetadata
from cluster.settings import Settings
from cluster.system_config import SystemConfig, defaults, differences, load_config_file, merge

CONFIG = "system-config"


def read_config(session: Session, settings: Settings) -> SystemConfig:
    """The config in force: the config file's when there is one, else the defaults with what an admin changed."""
    base = defaults(settings)
    if settings.config_file is not None:
        return load_config_file(settings.config_file, base)
    row = session.get(SystemMetadata, CONFIG)
    return merge(base, row.value) if row is not None else base


def write_config(session: Session, settings: Settings, config: SystemConfig) -> None:
    """Store what differs from the defaults."""
    session.merge(SystemMetadata(key=CONFIG, value=differences(config, defaults(settings))))
