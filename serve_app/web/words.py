"""What the pages call things: titles, what a queue does, what its buttons say, what is asked first.

Titles, order and buttons as Immich's users know them. Source: spec/queues.md §8.
"""

from dataclasses import dataclass

from cluster.names import JobName, QueueName
from cluster.storage import template
from serve_app.services.start_queue import ManualJob

Q = QueueName


@dataclass(frozen=True, slots=True)
class Start:
    """A button that starts a queue. `force` as the API takes it, None for not given; `question`: asked first."""

    label: str
    force: bool | None
    question: str = ""


@dataclass(frozen=True, slots=True)
class QueueWords:
    """How a queue is shown. `feature`: the switch of the server's features that it depends on."""

    queue: QueueName
    title: str
    subtitle: str
    starts: tuple[Start, ...] = ()
    feature: str = ""


ALL, MISSING = Start("All", True), Start("Missing", False)
ALL_OR_MISSING = (ALL, MISSING)

CARDS: tuple[QueueWords, ...] = (
    QueueWords(
        Q.THUMBNAIL_GENERATION,
        "Generate Thumbnails",
        "Small, large and blurred pictures of every photo, video and person.",
        ALL_OR_MISSING,
    ),
    QueueWords(
        Q.METADATA_EXTRACTION,
        "Extract Metadata",
        "Place, time, camera, size and faces as the file itself tells them.",
        ALL_OR_MISSING,
    ),
    QueueWords(
        Q.LIBRARY,
        "External Libraries",
        "Look through the folders of external libraries for new and changed files.",
        (Start("Rescan", False),),
    ),
    QueueWords(
        Q.SIDECAR,
        "Sidecar Metadata",
        "Find XMP files beside photos, or read those that are known again.",
        (Start("Sync", True), Start("Discover", False)),
        "sidecar",
    ),
    QueueWords(
        Q.SMART_SEARCH,
        "Smart Search",
        "Learn what is in a picture, so that it can be found by its description.",
        ALL_OR_MISSING,
        "smartSearch",
    ),
    QueueWords(
        Q.DUPLICATE_DETECTION,
        "Duplicate Detection",
        "Find pictures that look alike. Needs Smart Search.",
        ALL_OR_MISSING,
        "duplicateDetection",
    ),
    QueueWords(
        Q.FACE_DETECTION,
        "Face Detection",
        "Find faces in photos and in the thumbnails of videos. Refresh looks again and keeps what is known; Reset "
        "forgets all faces first; Missing takes what was never looked at.",
        (
            Start(
                "Reset",
                True,
                "All faces that were found are deleted and looked for again. People lose their faces, and those "
                "that you have named their names.",
            ),
            Start("Refresh", None),
            MISSING,
        ),
        "facialRecognition",
    ),
    QueueWords(
        Q.FACIAL_RECOGNITION,
        "Facial Recognition",
        "Gather the faces of one person. Reset gathers all of them anew; Missing takes faces that belong to nobody.",
        (
            Start(
                "Reset", True, "Every face is taken from its person and gathered anew. Named people lose their faces."
            ),
            MISSING,
        ),
        "facialRecognition",
    ),
    QueueWords(Q.OCR, "OCR", "Read the text in pictures, so that it can be searched.", ALL_OR_MISSING, "ocr"),
    QueueWords(
        Q.VIDEO_CONVERSION,
        "Transcode Videos",
        "Make copies of videos that every browser and phone can play.",
        ALL_OR_MISSING,
    ),
    QueueWords(
        Q.STORAGE_TEMPLATE_MIGRATION,
        "Storage Template Migration",
        "Move files to where the storage template says.",
        (Start("Start", False),),
    ),
    QueueWords(
        Q.MIGRATION,
        "Migration",
        "Move thumbnails of photos and people to the newest folder layout.",
        (Start("Start", False),),
    ),
)
"""The cards of the jobs page, in order."""

OTHERS: tuple[QueueWords, ...] = (
    QueueWords(Q.BACKGROUND_TASK, "Background Tasks", "Clean-ups and deletions that nobody waits for."),
    QueueWords(Q.BACKUP_DATABASE, "Database Backup", "Copies of the database, as often as the settings say."),
    QueueWords(Q.INTEGRITY_CHECK, "Integrity Check", "Compare the database with the disk."),
    QueueWords(Q.NOTIFICATIONS, "Notifications", "Messages to people."),
    QueueWords(Q.EDITOR, "Editor", "Pictures of edited photos."),
    QueueWords(Q.SEARCH, "Search", "Nothing is queued here."),
    QueueWords(Q.WORKFLOW, "Workflow", "Nothing is queued here."),
)
"""Queues without a card: a small table below."""

WORDS = {words.queue: words for words in CARDS + OTHERS}

MANUAL_JOBS: tuple[tuple[ManualJob, str], ...] = (
    (ManualJob.PERSON_CLEANUP, "Person cleanup"),
    (ManualJob.TAG_CLEANUP, "Tag cleanup"),
    (ManualJob.USER_CLEANUP, "User cleanup"),
    (ManualJob.MEMORY_CLEANUP, "Memory cleanup"),
    (ManualJob.MEMORY_CREATE, "Memory generation"),
    (ManualJob.BACKUP_DATABASE, "Create database dump"),
    (ManualJob.MISSING_FILES, "Check for missing files"),
    (ManualJob.UNTRACKED_FILES, "Check for untracked files"),
    (ManualJob.CHECKSUM_MISMATCH, "Check for checksum mismatches"),
    (ManualJob.MISSING_FILES_REFRESH, "Refresh missing file reports"),
    (ManualJob.UNTRACKED_FILES_REFRESH, "Refresh untracked file reports"),
    (ManualJob.CHECKSUM_MISMATCH_REFRESH, "Refresh checksum mismatch reports"),
)
"""What the dialog "Create job" offers."""

SCHEDULE_TITLES = {
    "nightly": "Nightly tasks",
    "database-backup": "Database backup",
    "library-scan": "Scan of external libraries",
    "missing-files": "Check for missing files",
    "untracked-files": "Check for untracked files",
    "checksums": "Check of checksums",
    "version-check": "Look for a newer release",
}
"""By the names of the timetable; one that is not here shows by its name."""

STEP_TITLES = {
    JobName.ASSET_EXTRACT_METADATA: "Metadata",
    JobName.ASSET_GENERATE_THUMBNAILS: "Thumbnails",
    JobName.SMART_SEARCH: "Smart search",
    JobName.ASSET_DETECT_FACES: "Faces",
    JobName.OCR: "Text",
    JobName.ASSET_DETECT_DUPLICATES: "Duplicates",
    JobName.ASSET_ENCODE_VIDEO: "Transcoding",
}
"""The steps of an upload, as an asset's page calls them."""

TEMPLATE_TOKENS = (
    ("Year", template.YEARS),
    ("Month", template.MONTHS),
    ("Week", template.WEEKS),
    ("Day", template.DAYS),
    ("Hour", template.HOURS),
    ("Minute", template.MINUTES),
    ("Second", template.SECONDS),
    ("File", ("filename", "ext", "filetype", "filetypefull", "assetId", "assetIdShort")),
    ("Camera", ("make", "model", "lensModel")),
    ("Album", ("album",)),
)
"""What may stand in a storage template, by what it tells."""


def slug(queue: QueueName) -> str:
    """`faceDetection` → `face-detection`, as it stands in addresses."""
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in queue.value)


BY_SLUG = {slug(queue): queue for queue in QueueName}
