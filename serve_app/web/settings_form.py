"""The settings page's form, read off the config's own types: so a new setting has its field the day it exists."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cluster.config_values import LARGEST
from cluster.names import SEQUENTIAL_QUEUES, QueueName
from cluster.system_config import SystemConfig, to_wire
from serve_app.web.words import WORDS

Q = QueueName

SECTIONS: tuple[tuple[str, str], ...] = (
    ("job", "Job concurrency"),
    ("nightlyTasks", "Nightly tasks"),
    ("image", "Images"),
    ("ffmpeg", "Video transcoding"),
    ("machineLearning", "Machine learning"),
    ("storageTemplate", "Storage template"),
    ("library", "External libraries"),
    ("backup", "Backups"),
    ("integrityChecks", "Integrity checks"),
    ("metadata", "Metadata"),
    ("trash", "Trash"),
)
"""The parts of the config that have to do with jobs, in the order of the page; the others are for other pages."""

CONCURRENCY = (
    *(Q.THUMBNAIL_GENERATION, Q.METADATA_EXTRACTION, Q.LIBRARY, Q.SIDECAR, Q.SMART_SEARCH, Q.FACE_DETECTION),
    *(
        Q.FACIAL_RECOGNITION,
        Q.DUPLICATE_DETECTION,
        Q.VIDEO_CONVERSION,
        Q.STORAGE_TEMPLATE_MIGRATION,
        Q.MIGRATION,
        Q.OCR,
    ),
    *(Q.BACKGROUND_TASK, Q.INTEGRITY_CHECK, Q.EDITOR, Q.SEARCH, Q.NOTIFICATIONS, Q.WORKFLOW),
)
HELP = {
    "image.thumbnail.size": "The short edge, in pixels",
    "image.preview.size": "The short edge, in pixels",
    "image.colorspace": "p3 keeps the colours of modern phones and cameras",
    "image.extractEmbedded": "Take the picture that a RAW file brings along, where it is large enough",
    "ffmpeg.crf": "0 to 51: lower is better and larger. 23 suits H.264, 28 HEVC, 35 VP9 and AV1",
    "ffmpeg.threads": "0: as many as the machine has",
    "ffmpeg.targetResolution": "Lines, or “original”",
    "ffmpeg.maxBitrate": "Such as 4M or 2500k; 0 sets no limit",
    "machineLearning.duplicateDetection.maxDistance": "0.001 to 0.1: higher finds more, and more that are none",
    "machineLearning.facialRecognition.maxDistance": "0.1 to 2: lower keeps people apart, higher gathers them",
    "machineLearning.facialRecognition.minFaces": "Faces that make a person",
    "machineLearning.urls": "Taken for Immich's sake; models run on this cluster's nodes",
    "nightlyTasks.startTime": "HH:MM, in the server's own time",
    "integrityChecks.checksumFiles.timeLimit": "Milliseconds a run may take",
    "integrityChecks.checksumFiles.percentageLimit": "Share of all files that a run looks at, 0 to 1",
    "storageTemplate.template": "Where originals are kept; see below what may stand in it",
}


@dataclass(frozen=True, slots=True)
class Field:
    """One input. `kind`: flag, number, choice, several (of `options`), words (a list of texts) or text. `fixed`: shown
    for completeness, since nothing can be set."""

    path: str
    label: str
    kind: str
    value: Any
    default: Any
    group: str = ""
    options: Sequence[str] = ()
    least: float | None = None
    most: float | None = None
    whole: bool = False
    help: str = ""
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class SectionForm:
    """A part of the page. `name` is the config's, and the anchor."""

    name: str
    title: str
    fields: list[Field] = field(default_factory=list)


def settings_form(config: SystemConfig, defaults: SystemConfig) -> list[SectionForm]:
    """Every section with its fields, holding what is in force."""
    schema = SystemConfig.model_json_schema(by_alias=True)
    values, usual = to_wire(config), to_wire(defaults)
    return [
        SectionForm(
            name,
            title,
            _concurrency(values["job"], usual["job"])
            if name == "job"
            else list(_fields(schema, schema["properties"][name], name, values[name], usual[name])),
        )
        for name, title in SECTIONS
    ]


def _concurrency(values: Mapping[str, Any], usual: Mapping[str, Any]) -> list[Field]:
    fields = []
    for queue in CONCURRENCY:
        path, label = f"job.{queue.value}.concurrency", WORDS[queue].title
        if queue.value in values:
            now, default = values[queue.value]["concurrency"], usual[queue.value]["concurrency"]
            fields.append(Field(path, label, "number", now, default, least=1, whole=True))
        elif queue in SEQUENTIAL_QUEUES:
            words = "One at a time: its jobs must not run beside each other"
            fields.append(Field(path, label, "number", 1, 1, help=words, fixed=True))
    return fields


def _fields(schema: Mapping[str, Any], part: Mapping[str, Any], path: str, value: Any, usual: Any) -> Iterator[Field]:
    if "$ref" in part:
        part = schema["$defs"][part["$ref"].rpartition("/")[2]]
    if "properties" in part:
        for name, below in part["properties"].items():
            yield from _fields(schema, below, f"{path}.{name}", value[name], usual[name])
        return
    steps = path.split(".")
    items = part.get("items", {})
    options = part.get("enum") or items.get("enum") or ()
    most = part.get("maximum")
    yield Field(
        path=path,
        label=words_of(steps[-1]),
        kind=_kind(part, items),
        value=value,
        default=usual,
        group=" · ".join(words_of(step) for step in steps[1:-1]),
        options=[str(option) for option in options],
        least=part.get("minimum"),
        most=None if most == LARGEST else most,
        whole=part.get("type") == "integer",
        help=HELP.get(path, ""),
    )


def _kind(part: Mapping[str, Any], items: Mapping[str, Any]) -> str:
    match part.get("type"):
        case "boolean":
            return "flag"
        case "integer" | "number":
            return "number"
        case "array":
            return "several" if "enum" in items else "words"
        case _:
            return "choice" if "enum" in part else "text"


WORDINGS = {
    "crf": "CRF",
    "ocr": "OCR",
    "gopSize": "GOP size",
    "temporalAQ": "Temporal AQ",
    "cqMode": "CQ mode",
    "urls": "URLs",
}


def words_of(name: str) -> str:
    """`targetVideoCodec` → `Target video codec`."""
    if name in WORDINGS:
        return WORDINGS[name]
    spaced = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name)
    return spaced[:1].upper() + spaced[1:]
