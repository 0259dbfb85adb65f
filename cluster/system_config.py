"""The system config: its defaults, its validation, how it is stored, and the file that may stand in for it.

Only what differs from the defaults is stored, so that a better default reaches everyone who never chose.
Source: spec/api.md §8 and §12.
"""

import json
import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from cluster.config_tree import SystemConfig
from cluster.config_values import issue
from cluster.errors import ConfigInvalid, SettingsInvalid
from cluster.names import SEQUENTIAL_QUEUES, QueueName
from cluster.settings import Settings

__all__ = [
    "SystemConfig",
    "concurrency_of",
    "defaults",
    "differences",
    "load_config_file",
    "merge",
    "to_wire",
    "validate",
]

log = logging.getLogger(__name__)

Wire = dict[str, Any]
"""A config, or part of one, as JSON has it: nested dicts in wire spelling."""

DEFAULTS: Wire = {
    "backup": {"database": {"enabled": True, "cronExpression": "0 02 * * *", "keepLastAmount": 14}},
    "ffmpeg": {
        "crf": 23,
        "threads": 0,
        "preset": "ultrafast",
        "targetVideoCodec": "h264",
        "acceptedVideoCodecs": ["h264"],
        "targetAudioCodec": "aac",
        "acceptedAudioCodecs": ["aac", "mp3", "opus"],
        "acceptedContainers": ["mov", "ogg", "webm"],
        "targetResolution": "720",
        "maxBitrate": "0",
        "bframes": -1,
        "refs": 0,
        "gopSize": 0,
        "temporalAQ": False,
        "cqMode": "auto",
        "twoPass": False,
        "preferredHwDevice": "auto",
        "transcode": "required",
        "tonemap": "hable",
        "accel": "disabled",
        "accelDecode": True,
        "realtime": {"enabled": False, "videoCodecs": ["h264", "hevc"], "resolutions": [480, 720, 1080]},
    },
    "image": {
        "thumbnail": {"format": "webp", "size": 250, "quality": 80, "progressive": False},
        "preview": {"format": "jpeg", "size": 1440, "quality": 80, "progressive": False},
        "fullsize": {"enabled": False, "format": "jpeg", "quality": 80, "progressive": False},
        "colorspace": "p3",
        "extractEmbedded": False,
    },
    "integrityChecks": {
        "missingFiles": {"enabled": True, "cronExpression": "0 03 * * *"},
        "untrackedFiles": {"enabled": True, "cronExpression": "0 03 * * *"},
        "checksumFiles": {
            "enabled": True,
            "cronExpression": "0 03 * * *",
            "timeLimit": 3_600_000,
            "percentageLimit": 1,
        },
    },
    "job": {
        "backgroundTask": {"concurrency": 5},
        "smartSearch": {"concurrency": 2},
        "metadataExtraction": {"concurrency": 5},
        "faceDetection": {"concurrency": 2},
        "search": {"concurrency": 5},
        "sidecar": {"concurrency": 5},
        "library": {"concurrency": 5},
        "migration": {"concurrency": 5},
        "thumbnailGeneration": {"concurrency": 3},
        "videoConversion": {"concurrency": 1},
        "notifications": {"concurrency": 5},
        "ocr": {"concurrency": 1},
        "workflow": {"concurrency": 5},
        "integrityCheck": {"concurrency": 1},
        "editor": {"concurrency": 2},
    },
    "library": {"scan": {"enabled": True, "cronExpression": "0 0 * * *"}, "watch": {"enabled": False}},
    "logging": {"enabled": True, "level": "log"},
    "machineLearning": {
        "enabled": True,
        "urls": ["http://immich-machine-learning:3003"],
        "availabilityChecks": {"enabled": True, "timeout": 2000, "interval": 30_000},
        "clip": {"enabled": True, "modelName": "ViT-B-32__openai"},
        "duplicateDetection": {"enabled": True, "maxDistance": 0.01},
        "facialRecognition": {
            "enabled": True,
            "modelName": "buffalo_l",
            "minScore": 0.7,
            "maxDistance": 0.5,
            "minFaces": 3,
        },
        "ocr": {
            "enabled": True,
            "modelName": "PP-OCRv5_mobile",
            "minDetectionScore": 0.5,
            "minRecognitionScore": 0.8,
            "maxResolution": 736,
        },
    },
    "map": {
        "enabled": True,
        "lightStyle": "https://tiles.immich.cloud/v1/style/light.json",
        "darkStyle": "https://tiles.immich.cloud/v1/style/dark.json",
    },
    "metadata": {"faces": {"import": False}},
    "newVersionCheck": {"enabled": True, "channel": "stable"},
    "nightlyTasks": {
        "startTime": "00:00",
        "databaseCleanup": True,
        "missingThumbnails": True,
        "clusterNewFaces": True,
        "generateMemories": True,
        "syncQuotaUsage": True,
    },
    "notifications": {
        "smtp": {
            "enabled": False,
            "from": "",
            "replyTo": "",
            "transport": {
                "ignoreCert": False,
                "host": "",
                "port": 587,
                "secure": False,
                "username": "",
                "password": "",
            },
        }
    },
    "oauth": {
        "autoLaunch": False,
        "autoRegister": True,
        "buttonText": "Login with OAuth",
        "clientId": "",
        "clientSecret": "",
        "defaultStorageQuota": None,
        "enabled": False,
        "issuerUrl": "",
        "endSessionEndpoint": "",
        "mobileOverrideEnabled": False,
        "mobileRedirectUri": "",
        "prompt": "",
        "scope": "openid email profile",
        "signingAlgorithm": "RS256",
        "profileSigningAlgorithm": "none",
        "storageLabelClaim": "preferred_username",
        "storageQuotaClaim": "immich_quota",
        "roleClaim": "immich_role",
        "tokenEndpointAuthMethod": "client_secret_post",
        "timeout": 30_000,
        "allowInsecureRequests": False,
    },
    "passwordLogin": {"enabled": True},
    "reverseGeocoding": {"enabled": True},
    "server": {"externalDomain": "", "loginPageMessage": "", "publicUsers": True},
    "storageTemplate": {
        "enabled": False,
        "hashVerificationEnabled": True,
        "template": "{{y}}/{{y}}-{{MM}}-{{dd}}/{{filename}}",
    },
    "templates": {"email": {"welcomeTemplate": "", "albumInviteTemplate": "", "albumUpdateTemplate": ""}},
    "theme": {"customCss": ""},
    "trash": {"enabled": True, "days": 30},
    "user": {"deleteDelay": 7},
}
"""What Immich 3.1 does when nobody has changed anything."""


def defaults(settings: Settings) -> SystemConfig:
    """The defaults on this installation: the environment chooses those of machine learning."""
    chosen = {"enabled": settings.machine_learning_enabled, "urls": [settings.machine_learning_url]}
    return validate(_overlaid(DEFAULTS, {"machineLearning": chosen}))


def to_wire(config: SystemConfig) -> Wire:
    """`config` as JSON has it."""
    return config.model_dump(mode="json")


def validate(raw: object) -> SystemConfig:
    """A whole config from JSON; unknown keys are ignored. Raises ConfigInvalid, naming every wrong field."""
    try:
        return SystemConfig.model_validate(raw)
    except ValidationError as error:
        raise ConfigInvalid([issue(SystemConfig, one) for one in error.errors()]) from error


def differences(config: SystemConfig, defaults: SystemConfig) -> Wire:
    """What to store of `config`. Empty texts and nulls are not stored: they stand for the default."""
    return _changed(to_wire(config), to_wire(defaults))


def merge(defaults: SystemConfig, stored: Mapping[str, Any]) -> SystemConfig:
    """`stored` over `defaults`. What is stored and wrong, by hand or by an older version, is logged and left out."""
    base, chosen = to_wire(defaults), _without_blanks(stored)
    try:
        config = validate(_overlaid(base, chosen))
    except ConfigInvalid as invalid:
        log.error("%s", invalid)
        for path, _ in invalid.issues:
            chosen = _without(chosen, path)
        config = validate(_overlaid(base, chosen))
    return _with_targets_accepted(config)


def load_config_file(path: Path, defaults: SystemConfig) -> SystemConfig:
    """The YAML or JSON file at `path` over `defaults`; unknown keys are logged.

    Raises SettingsInvalid when it cannot be read, ConfigInvalid when a value in it is wrong.
    """
    try:
        raw = _parse(path)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SettingsInvalid([("IMMICH_CONFIG_FILE", f"Cannot read {path}: {error}")]) from error
    if not isinstance(raw, dict):
        raise ConfigInvalid([((), "Invalid input: expected object at the top of the file")])
    base = to_wire(defaults)
    if unknown := [".".join(keys) for keys in _unknown_keys(raw, base)]:
        log.warning("Unknown keys found in %s: %s", path, ", ".join(unknown))
    return _with_targets_accepted(validate(_overlaid(base, _without_blanks(raw))))


def concurrency_of(config: SystemConfig, queue: QueueName) -> int:
    """Calls of `queue` that may be in flight on each matching node; 1 in the whole cluster for sequential queues."""
    if queue in SEQUENTIAL_QUEUES:
        return 1
    concurrency: int = getattr(config.job, queue.name.lower()).concurrency
    return concurrency


class _Yaml12Loader(yaml.SafeLoader):
    """YAML 1.2, as Immich reads it: `no` is a text, and 12:30 is not the number 750."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own shape


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
):
    _Yaml12Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))


def _parse(path: Path) -> object:
    text = path.read_text()
    if path.suffix == ".json":
        return json.loads(text)
    return yaml.load(text, Loader=_Yaml12Loader) or {}  # noqa: S506 - a SafeLoader with fewer rules


def _overlaid(base: Mapping[str, Any], over: Mapping[str, Any]) -> Wire:
    """`base` with every value of `over`; nested objects are merged, lists replaced."""
    result = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(base.get(key), Mapping)
        result[key] = _overlaid(base[key], value) if both else value
    return result


def _changed(new: Mapping[str, Any], old: Mapping[str, Any]) -> Wire:
    result: Wire = {}
    for key, value in new.items():
        if isinstance(value, Mapping):
            if nested := _changed(value, old[key]):
                result[key] = nested
        elif value != old[key] and value not in ("", None):
            result[key] = value
    return result


def _without_blanks(raw: Mapping[str, Any]) -> Wire:
    nested = {key: _without_blanks(value) if isinstance(value, Mapping) else value for key, value in raw.items()}
    return {key: value for key, value in nested.items() if value not in ("", None)}


def _without(raw: Mapping[str, Any], path: tuple[str, ...]) -> Wire:
    """`raw` less what stands at `path`, or less the list that `path` leads into."""
    key, rest = path[0], path[1:]
    result = dict(raw)
    if rest and isinstance(result.get(key), Mapping):
        result[key] = _without(result[key], rest)
    else:
        result.pop(key, None)
    return result


def _unknown_keys(raw: Mapping[str, Any], known: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for key, value in raw.items():
        if key not in known:
            yield (str(key),)
        elif isinstance(value, Mapping) and isinstance(known[key], Mapping):
            yield from ((str(key), *rest) for rest in _unknown_keys(value, known[key]))


def _with_targets_accepted(config: SystemConfig) -> SystemConfig:
    """What videos are made into must count as acceptable, or every video would be made again and again."""
    wire = to_wire(config)
    for kind in ("Video", "Audio"):
        target, accepted = wire["ffmpeg"][f"target{kind}Codec"], wire["ffmpeg"][f"accepted{kind}Codecs"]
        if target not in accepted:
            accepted.append(target)
    return validate(wire)
