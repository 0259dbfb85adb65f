"""Ray's autoscaler: what its configuration lets it start, and what it is asked for."""

from collections.abc import Sequence
from pathlib import Path

import yaml
from ray.autoscaler.sdk import request_resources

from cluster.errors import SettingsInvalid
from cluster.ray_cluster_file import prepared
from cluster.scaling import Bundle, Fleet, fleet_of


def read_fleet(path: Path) -> Fleet:
    """Of the file that Ray's autoscaler reads, too. Raises SettingsInvalid with what Ray has against it."""
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsInvalid([("HELIOSTAT_AUTOSCALING_CONFIG", f"{path} cannot be read: {error}")]) from None
    config, refused = prepared(content)
    if refused:
        raise SettingsInvalid([("HELIOSTAT_AUTOSCALING_CONFIG", f"{path}: {one.wrong}") for one in refused])
    return fleet_of(config)


def ask(bundles: Sequence[Bundle]) -> None:
    """In place of what was asked before, by whomever; nothing: no machine is needed but those that are always there."""
    request_resources(
        bundles=[one.resources for one in bundles], bundle_label_selectors=[one.labels for one in bundles]
    )
