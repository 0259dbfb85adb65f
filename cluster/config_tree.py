"""The typed tree that an admin edits, in our spelling; on the wire and in storage its names are camelCase.

Source: spec/api.md §8 and §12, spec/jobs-media.md, spec/jobs-ml.md.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from cluster.config_values import (
    LARGEST,
    WHOLE_OR_TEXT,
    AnyWhole,
    Cron,
    EmptyOrUrl,
    Flag,
    NotNegative,
    Port,
    Positive,
    Quality,
    Score,
    Share,
    TimeOfDay,
    Url,
)
from cluster.settings import LogLevel

AudioCodec = Literal["mp3", "aac", "opus", "pcm_s16le"]
Colorspace = Literal["srgb", "p3"]
ImageFormat = Literal["jpeg", "webp"]
VideoCodec = Literal["h264", "hevc", "vp9", "av1"]
VideoContainer = Literal["mov", "mp4", "ogg", "webm"]
VideoResolution = Literal[480, 720, 1080, 1440, 2160]


class Section(BaseModel):
    """A part of the config. Every field is required and unknown ones are ignored, as Immich does."""

    model_config = ConfigDict(alias_generator=to_camel, serialize_by_alias=True, frozen=True)


class Switch(Section):
    enabled: Flag


class CronSwitch(Switch):
    cron_expression: Cron


class DatabaseBackup(CronSwitch):
    keep_last_amount: Positive


class Backup(Section):
    database: DatabaseBackup


class Realtime(Switch):
    video_codecs: list[VideoCodec]
    resolutions: list[VideoResolution]


class Ffmpeg(Section):
    crf: Annotated[int, Field(strict=True, ge=0, le=51), WHOLE_OR_TEXT]
    threads: Annotated[int, Field(strict=True, ge=0, le=LARGEST), WHOLE_OR_TEXT]
    preset: str
    target_video_codec: VideoCodec
    accepted_video_codecs: list[VideoCodec]
    target_audio_codec: AudioCodec
    accepted_audio_codecs: list[AudioCodec]
    accepted_containers: list[VideoContainer]
    target_resolution: str
    max_bitrate: str
    bframes: Annotated[int, Field(strict=True, ge=-1, le=16), WHOLE_OR_TEXT]
    refs: Annotated[int, Field(strict=True, ge=0, le=6), WHOLE_OR_TEXT]
    gop_size: Annotated[int, Field(strict=True, ge=0, le=LARGEST), WHOLE_OR_TEXT]
    temporal_aq: Annotated[Flag, Field(alias="temporalAQ")]
    cq_mode: Literal["auto", "cqp", "icq"]
    two_pass: Flag
    preferred_hw_device: str
    transcode: Literal["all", "optimal", "bitrate", "required", "disabled"]
    tonemap: Literal["hable", "mobius", "reinhard", "disabled"]
    accel: Literal["nvenc", "qsv", "vaapi", "rkmpp", "disabled"]
    accel_decode: Flag
    realtime: Realtime


class GeneratedImage(Section):
    """`size`: the short edge in pixels."""

    format: ImageFormat
    size: Positive
    quality: Quality
    progressive: Flag = False


class FullsizeImage(Switch):
    format: ImageFormat
    quality: Quality
    progressive: Flag = False


class Image(Section):
    thumbnail: GeneratedImage
    preview: GeneratedImage
    fullsize: FullsizeImage
    colorspace: Colorspace
    extract_embedded: Flag


class ChecksumCheck(CronSwitch):
    """`time_limit` in milliseconds; `percentage_limit`: share of the files, 0 to 1."""

    time_limit: NotNegative
    percentage_limit: Share


class IntegrityChecks(Section):
    missing_files: CronSwitch
    untracked_files: CronSwitch
    checksum_files: ChecksumCheck


class QueueConcurrency(Section):
    concurrency: Positive


class Job(Section):
    """One entry per queue that may run more than one call at a time."""

    background_task: QueueConcurrency
    smart_search: QueueConcurrency
    metadata_extraction: QueueConcurrency
    face_detection: QueueConcurrency
    search: QueueConcurrency
    sidecar: QueueConcurrency
    library: QueueConcurrency
    migration: QueueConcurrency
    thumbnail_generation: QueueConcurrency
    video_conversion: QueueConcurrency
    notifications: QueueConcurrency
    ocr: QueueConcurrency
    workflow: QueueConcurrency
    integrity_check: QueueConcurrency
    editor: QueueConcurrency


class Library(Section):
    scan: CronSwitch
    watch: Switch


class Logging(Switch):
    level: LogLevel


class AvailabilityChecks(Switch):
    """`timeout` and `interval` in milliseconds."""

    timeout: AnyWhole
    interval: AnyWhole


class Clip(Switch):
    model_name: str


class DuplicateDetection(Switch):
    max_distance: Annotated[float, Field(strict=True, ge=0.001, le=0.1)]


class FacialRecognition(Switch):
    model_name: str
    min_score: Score
    max_distance: Annotated[float, Field(strict=True, ge=0.1, le=2)]
    min_faces: Positive


class Ocr(Switch):
    model_name: str
    min_detection_score: Score
    min_recognition_score: Score
    max_resolution: Positive


class MachineLearning(Switch):
    urls: Annotated[list[str], Field(min_length=1)]
    availability_checks: AvailabilityChecks
    clip: Clip
    duplicate_detection: DuplicateDetection
    facial_recognition: FacialRecognition
    ocr: Ocr


class Map(Switch):
    light_style: Url
    dark_style: Url


class MetadataFaces(Section):
    import_faces: Annotated[Flag, Field(alias="import")]


class Metadata(Section):
    faces: MetadataFaces


class NewVersionCheck(Switch):
    channel: Literal["stable", "releaseCandidate"]


class NightlyTasks(Section):
    """`start_time` in the server's own time zone."""

    start_time: TimeOfDay
    database_cleanup: Flag
    missing_thumbnails: Flag
    cluster_new_faces: Flag
    generate_memories: Flag
    sync_quota_usage: Flag


class SmtpTransport(Section):
    ignore_cert: Flag
    host: str
    port: Port
    secure: Flag
    username: str
    password: str = Field(repr=False)


class Smtp(Switch):
    sender: Annotated[str, Field(alias="from")]
    reply_to: str
    transport: SmtpTransport


class Notifications(Section):
    smtp: Smtp


class OAuth(Switch):
    """`timeout` in milliseconds; `default_storage_quota` in GiB, None for no limit."""

    auto_launch: Flag
    auto_register: Flag
    button_text: str
    client_id: str
    client_secret: str = Field(repr=False)
    default_storage_quota: NotNegative | None
    issuer_url: str
    end_session_endpoint: str
    mobile_override_enabled: Flag
    mobile_redirect_uri: str
    prompt: str
    scope: str
    signing_algorithm: str
    profile_signing_algorithm: str
    storage_label_claim: str
    storage_quota_claim: str
    role_claim: str
    token_endpoint_auth_method: Literal["client_secret_post", "client_secret_basic"]
    timeout: Positive
    allow_insecure_requests: Flag


class Server(Section):
    external_domain: EmptyOrUrl
    login_page_message: str
    public_users: Flag


def _not_blank(template: object) -> object:
    if isinstance(template, str) and not template.strip():
        raise ValueError("Invalid storage template")
    return template


class StorageTemplate(Switch):
    hash_verification_enabled: Flag
    template: Annotated[str, BeforeValidator(_not_blank)]


class EmailTemplates(Section):
    welcome_template: str
    album_invite_template: str
    album_update_template: str


class Templates(Section):
    email: EmailTemplates


class Theme(Section):
    custom_css: str


class Trash(Switch):
    days: NotNegative


class User(Section):
    """`delete_delay` in days."""

    delete_delay: Positive


class SystemConfig(Section):
    """Everything an admin can set. Serialises in wire spelling."""

    backup: Backup
    ffmpeg: Ffmpeg
    image: Image
    integrity_checks: IntegrityChecks
    job: Job
    library: Library
    logging: Logging
    machine_learning: MachineLearning
    map: Map
    metadata: Metadata
    new_version_check: NewVersionCheck
    nightly_tasks: NightlyTasks
    notifications: Notifications
    oauth: OAuth
    password_login: Switch
    reverse_geocoding: Switch
    server: Server
    storage_template: StorageTemplate
    templates: Templates
    theme: Theme
    trash: Trash
    user: User
