"""A cluster's YAML file as Ray's cluster launcher reads it: its checks, and the one that it leaves out, of labels."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from ray._private.label_utils import validate_label_key, validate_label_value
from ray.autoscaler._private.util import prepare_config, validate_config

from cluster.cluster_file import TYPES, Finding


def prepared(content: Any) -> tuple[dict[str, Any], list[Finding]]:
    """`content` with Ray's defaults filled in, each command list where it was; and what Ray has against it.

    With a finding, the first part may be of any shape.
    """
    cure = "as https://docs.ray.io/en/latest/cluster/vms/references/ray-cluster-configuration.html shows"
    if not isinstance(content, dict) or not isinstance(content.get("provider"), dict):
        return {}, [
            Finding((), "it does not say where machines come from", "begin with provider: and its type:, " + cure)
        ]
    try:
        config: dict[str, Any] = prepare_config(deepcopy(content))
        validate_config(config)
    except Exception as error:
        # the schema's complaint knows its place; Ray has many other ways to say no, down to KeyError
        where = tuple(getattr(error, "absolute_path", ()))
        words = getattr(error, "message", None) or f"{type(error).__name__}: {error}"
        return {}, [Finding(where, f"Ray refuses it: {words.strip().splitlines()[0]}", f"write it {cure}")]
    shared = len(config["setup_commands"])  # Ray puts them before both
    for name in ("head_setup_commands", "worker_setup_commands"):
        config[name] = config[name][shared:]
    return config, []


def label_findings(config: Mapping[str, Any]) -> list[Finding]:
    """Labels that `ray start` would refuse when the machine is already paid for."""
    found = []
    for name, of_type in config[TYPES].items():
        for key, value in of_type.get("labels", {}).items():
            if complaint := validate_label_key(key) or _value_complaint(value):
                cure = "at most 63 letters, digits, '-', '_' and '.', a letter or digit at both ends, one '/' before it"
                found.append(Finding((TYPES, name, "labels", key), f"not a label: {complaint}", cure))
    return found


def _value_complaint(value: str) -> str | None:
    try:
        validate_label_value(value)
    except ValueError as error:
        return str(error)
    return None
