"""What an admin sets: read, checked, stored as differences, told to everyone."""

import logging
from typing import Any

from cluster.db.queries import system
from cluster.errors import BadRequest, TemplateInvalid
from cluster.queue.job import NewEvent
from cluster.storage.template import check_template
from cluster.system_config import SystemConfig, defaults, validate
from serve_app.deps import Services
from serve_app.services.clip_model import check_model, let_go_of_others
from tasks.jobs.check_version import check_version

log = logging.getLogger(__name__)


def get_config(services: Services) -> SystemConfig:
    """The config in force."""
    with services.database.reader() as session:
        return system.read_config(session, services.settings)


def default_config(services: Services) -> SystemConfig:
    return defaults(services.settings)


def save_config(services: Services, raw: dict[str, Any]) -> SystemConfig:
    """Store a whole config. Raises ConfigInvalid, or BadRequest when the environment or a file decides."""
    settings = services.settings
    if settings.config_file is not None:
        raise BadRequest("Cannot update configuration while IMMICH_CONFIG_FILE is in use")
    config = validate(raw)
    _check_storage_template(config)
    check_model(config)
    with services.database.session(durable=True) as session:
        if settings.log_level is not None and config.logging != system.read_config(session, settings).logging:
            raise BadRequest("Logging cannot be changed while the environment variable IMMICH_LOG_LEVEL is set.")
        checked_versions = system.read_config(session, settings).new_version_check.enabled
        system.write_config(session, settings, config)
        if config.new_version_check.enabled and not checked_versions:
            services.store.enqueue(session, [check_version()])
        let_go_of_others(session, services.store, config)
        services.store.emit(session, [NewEvent("config_update")])
        return system.read_config(session, settings)


def _check_storage_template(config: SystemConfig) -> None:
    try:
        check_template(config.storage_template.template)
    except TemplateInvalid as error:
        log.warning("refused: %s", error)
        raise BadRequest(f"Invalid storage template: {error.reason}") from error
