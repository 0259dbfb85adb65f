"""What an admin sets: read, checked, stored as differences, told to everyone."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from cluster.db.queries import system
from cluster.errors import BadRequest, TemplateInvalid
from cluster.queue.job import NewEvent
from cluster.storage.template import check_template
from cluster.system_config import SystemConfig, defaults, to_wire, validate
from serve_app.deps import Caller, Services
from serve_app.services import audit
from serve_app.services.clip_model import check_model, let_go_of_others
from tasks.jobs.check_version import check_version

log = logging.getLogger(__name__)


def get_config(services: Services) -> SystemConfig:
    """The config in force."""
    with services.database.reader() as session:
        return system.read_config(session, services.settings)


def default_config(services: Services) -> SystemConfig:
    return defaults(services.settings)


def save_config(services: Services, raw: dict[str, Any], by: Caller | None = None) -> SystemConfig:
    """Store a whole config. Raises ConfigInvalid, or BadRequest when the environment or a file decides."""
    settings = services.settings
    if settings.config_file is not None:
        raise BadRequest("Cannot update configuration while IMMICH_CONFIG_FILE is in use")
    config = validate(raw)
    _check_storage_template(config)
    with services.database.session(durable=True) as session:
        if settings.log_level is not None and config.logging != system.read_config(session, settings).logging:
            raise BadRequest("Logging cannot be changed while the environment variable IMMICH_LOG_LEVEL is set.")
        before = system.read_config(session, settings)
        check_model(config, before)
        checked_versions = before.new_version_check.enabled
        system.write_config(session, settings, config)
        if config.new_version_check.enabled and not checked_versions:
            services.store.enqueue(session, [check_version()])
        let_go_of_others(session, services.store, config)
        services.store.emit(session, [NewEvent("config_update")])
        after = system.read_config(session, settings)
        if by is not None and after != before:
            audit.note(session, services, by, "configure", "system config", changes_between(before, after))
        return after


def changes_between(before: SystemConfig, after: SystemConfig) -> str:
    """What was changed, a line each; what is secret is not told."""
    old, new = (dict(_leaves(to_wire(config))) for config in (before, after))
    return "\n".join(
        f"{path}: changed" if _is_secret(path) else f"{path}: {old.get(path)} → {new.get(path)}"
        for path in sorted(old.keys() | new.keys())
        if old.get(path) != new.get(path)
    )


def _leaves(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{above}{name}.")
        else:
            yield above + name, value


def _is_secret(path: str) -> bool:
    return path.lower().endswith(("password", "secret"))


def _check_storage_template(config: SystemConfig) -> None:
    try:
        check_template(config.storage_template.template)
    except TemplateInvalid as error:
        log.warning("refused: %s", error)
        raise BadRequest(f"Invalid storage template: {error.reason}") from error
