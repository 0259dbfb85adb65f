"""The wire spellings of queues, jobs and workers: the one place inside that keeps Immich's names."""

from enum import StrEnum


class QueueName(StrEnum):
    """Immich's 19 queues, in the order in which every list shows them. Source: spec/queues.md §1."""

    THUMBNAIL_GENERATION = "thumbnailGeneration"
    METADATA_EXTRACTION = "metadataExtraction"
    VIDEO_CONVERSION = "videoConversion"
    FACE_DETECTION = "faceDetection"
    FACIAL_RECOGNITION = "facialRecognition"
    SMART_SEARCH = "smartSearch"
    DUPLICATE_DETECTION = "duplicateDetection"
    BACKGROUND_TASK = "backgroundTask"
    STORAGE_TEMPLATE_MIGRATION = "storageTemplateMigration"
    MIGRATION = "migration"
    SEARCH = "search"
    SIDECAR = "sidecar"
    LIBRARY = "library"
    NOTIFICATIONS = "notifications"
    BACKUP_DATABASE = "backupDatabase"
    OCR = "ocr"
    WORKFLOW = "workflow"
    INTEGRITY_CHECK = "integrityCheck"
    EDITOR = "editor"


class WorkerName(StrEnum):
    """What a node can be. `microservices` is every worker but `api`."""

    API = "api"
    MICROSERVICES = "microservices"
    MACHINE_LEARNING = "machine-learning"
    ENCODING = "encoding"


class JobName(StrEnum):
    """Every job of Immich 3.1, source: spec/queues.md §3. Below them ours: clients see them by their `wire_name`."""

    ASSET_GENERATE_THUMBNAILS_QUEUE_ALL = "AssetGenerateThumbnailsQueueAll"
    ASSET_GENERATE_THUMBNAILS = "AssetGenerateThumbnails"
    PERSON_GENERATE_THUMBNAIL = "PersonGenerateThumbnail"
    ASSET_EDIT_THUMBNAIL_GENERATION = "AssetEditThumbnailGeneration"
    ASSET_EXTRACT_METADATA_QUEUE_ALL = "AssetExtractMetadataQueueAll"
    ASSET_EXTRACT_METADATA = "AssetExtractMetadata"
    ASSET_ENCODE_VIDEO_QUEUE_ALL = "AssetEncodeVideoQueueAll"
    ASSET_ENCODE_VIDEO = "AssetEncodeVideo"
    ASSET_DETECT_FACES_QUEUE_ALL = "AssetDetectFacesQueueAll"
    ASSET_DETECT_FACES = "AssetDetectFaces"
    FACIAL_RECOGNITION_QUEUE_ALL = "FacialRecognitionQueueAll"
    FACIAL_RECOGNITION = "FacialRecognition"
    SMART_SEARCH_QUEUE_ALL = "SmartSearchQueueAll"
    SMART_SEARCH = "SmartSearch"
    ASSET_DETECT_DUPLICATES_QUEUE_ALL = "AssetDetectDuplicatesQueueAll"
    ASSET_DETECT_DUPLICATES = "AssetDetectDuplicates"
    OCR_QUEUE_ALL = "OcrQueueAll"
    OCR = "Ocr"
    SIDECAR_QUEUE_ALL = "SidecarQueueAll"
    SIDECAR_CHECK = "SidecarCheck"
    SIDECAR_WRITE = "SidecarWrite"
    STORAGE_TEMPLATE_MIGRATION = "StorageTemplateMigration"
    STORAGE_TEMPLATE_MIGRATION_SINGLE = "StorageTemplateMigrationSingle"
    FILE_MIGRATION_QUEUE_ALL = "FileMigrationQueueAll"
    ASSET_FILE_MIGRATION = "AssetFileMigration"
    PERSON_FILE_MIGRATION = "PersonFileMigration"
    LIBRARY_SCAN_QUEUE_ALL = "LibraryScanQueueAll"
    LIBRARY_DELETE_CHECK = "LibraryDeleteCheck"
    LIBRARY_SYNC_FILES_QUEUE_ALL = "LibrarySyncFilesQueueAll"
    LIBRARY_SCAN_ASSETS_QUEUE_ALL = "LibraryScanAssetsQueueAll"
    LIBRARY_DELETE = "LibraryDelete"
    LIBRARY_SYNC_FILES = "LibrarySyncFiles"
    LIBRARY_SYNC_ASSETS = "LibrarySyncAssets"
    LIBRARY_REMOVE_ASSET = "LibraryRemoveAsset"
    ASSET_DELETE = "AssetDelete"
    ASSET_DELETE_CHECK = "AssetDeleteCheck"
    ASSET_EMPTY_TRASH = "AssetEmptyTrash"
    AUDIT_TABLE_CLEANUP = "AuditTableCleanup"
    HLS_SESSION_CLEANUP = "HlsSessionCleanup"
    MEMORY_CLEANUP = "MemoryCleanup"
    MEMORY_GENERATE = "MemoryGenerate"
    NOTIFICATIONS_CLEANUP = "NotificationsCleanup"
    PERSON_CLEANUP = "PersonCleanup"
    SESSION_CLEANUP = "SessionCleanup"
    TAG_CLEANUP = "TagCleanup"
    USER_DELETE_CHECK = "UserDeleteCheck"
    USER_SYNC_USAGE = "UserSyncUsage"
    VERSION_CHECK = "VersionCheck"
    FILE_DELETE = "FileDelete"
    USER_DELETE = "UserDelete"
    SEND_MAIL = "SendMail"
    NOTIFY_ALBUM_INVITE = "NotifyAlbumInvite"
    NOTIFY_ALBUM_UPDATE = "NotifyAlbumUpdate"
    NOTIFY_USER_SIGNUP = "NotifyUserSignup"
    DATABASE_BACKUP = "DatabaseBackup"
    WORKFLOW_ASSET_TRIGGER = "WorkflowAssetTrigger"
    INTEGRITY_UNTRACKED_FILES_QUEUE_ALL = "IntegrityUntrackedFilesQueueAll"
    INTEGRITY_MISSING_FILES_QUEUE_ALL = "IntegrityMissingFilesQueueAll"
    INTEGRITY_CHECKSUM_FILES = "IntegrityChecksumFiles"
    INTEGRITY_UNTRACKED_FILES = "IntegrityUntrackedFiles"
    INTEGRITY_MISSING_FILES = "IntegrityMissingFiles"
    INTEGRITY_MISSING_FILES_REFRESH = "IntegrityMissingFilesRefresh"
    INTEGRITY_UNTRACKED_REFRESH = "IntegrityUntrackedRefresh"
    INTEGRITY_CHECKSUM_FILES_REFRESH = "IntegrityChecksumFilesRefresh"
    INTEGRITY_DELETE_REPORT_TYPE = "IntegrityDeleteReportType"
    INTEGRITY_DELETE_REPORTS = "IntegrityDeleteReports"

    # ours
    RECONCILE = "Reconcile"
    ASSET_ENCODE_VIDEO_PART = "AssetEncodeVideoPart"
    ASSET_JOIN_VIDEO_PARTS = "AssetJoinVideoParts"
    GATHER_PEOPLE = "GatherPeople"


Q, J = QueueName, JobName

QUEUE_OF_JOB: dict[JobName, QueueName] = {
    J.ASSET_GENERATE_THUMBNAILS_QUEUE_ALL: Q.THUMBNAIL_GENERATION,
    J.ASSET_GENERATE_THUMBNAILS: Q.THUMBNAIL_GENERATION,
    J.PERSON_GENERATE_THUMBNAIL: Q.THUMBNAIL_GENERATION,
    J.ASSET_EDIT_THUMBNAIL_GENERATION: Q.EDITOR,
    J.ASSET_EXTRACT_METADATA_QUEUE_ALL: Q.METADATA_EXTRACTION,
    J.ASSET_EXTRACT_METADATA: Q.METADATA_EXTRACTION,
    J.ASSET_ENCODE_VIDEO_QUEUE_ALL: Q.VIDEO_CONVERSION,
    J.ASSET_ENCODE_VIDEO: Q.VIDEO_CONVERSION,
    J.ASSET_ENCODE_VIDEO_PART: Q.VIDEO_CONVERSION,
    J.ASSET_JOIN_VIDEO_PARTS: Q.VIDEO_CONVERSION,
    J.ASSET_DETECT_FACES_QUEUE_ALL: Q.FACE_DETECTION,
    J.ASSET_DETECT_FACES: Q.FACE_DETECTION,
    J.FACIAL_RECOGNITION_QUEUE_ALL: Q.FACIAL_RECOGNITION,
    J.FACIAL_RECOGNITION: Q.FACIAL_RECOGNITION,
    J.GATHER_PEOPLE: Q.FACIAL_RECOGNITION,
    J.SMART_SEARCH_QUEUE_ALL: Q.SMART_SEARCH,
    J.SMART_SEARCH: Q.SMART_SEARCH,
    J.ASSET_DETECT_DUPLICATES_QUEUE_ALL: Q.DUPLICATE_DETECTION,
    J.ASSET_DETECT_DUPLICATES: Q.DUPLICATE_DETECTION,
    J.OCR_QUEUE_ALL: Q.OCR,
    J.OCR: Q.OCR,
    J.SIDECAR_QUEUE_ALL: Q.SIDECAR,
    J.SIDECAR_CHECK: Q.SIDECAR,
    J.SIDECAR_WRITE: Q.SIDECAR,
    J.STORAGE_TEMPLATE_MIGRATION: Q.STORAGE_TEMPLATE_MIGRATION,
    J.STORAGE_TEMPLATE_MIGRATION_SINGLE: Q.STORAGE_TEMPLATE_MIGRATION,
    J.FILE_MIGRATION_QUEUE_ALL: Q.MIGRATION,
    J.ASSET_FILE_MIGRATION: Q.MIGRATION,
    J.PERSON_FILE_MIGRATION: Q.MIGRATION,
    J.LIBRARY_SCAN_QUEUE_ALL: Q.LIBRARY,
    J.LIBRARY_DELETE_CHECK: Q.LIBRARY,
    J.LIBRARY_SYNC_FILES_QUEUE_ALL: Q.LIBRARY,
    J.LIBRARY_SCAN_ASSETS_QUEUE_ALL: Q.LIBRARY,
    J.LIBRARY_DELETE: Q.LIBRARY,
    J.LIBRARY_SYNC_FILES: Q.LIBRARY,
    J.LIBRARY_SYNC_ASSETS: Q.LIBRARY,
    J.LIBRARY_REMOVE_ASSET: Q.LIBRARY,
    J.ASSET_DELETE: Q.BACKGROUND_TASK,
    J.ASSET_DELETE_CHECK: Q.BACKGROUND_TASK,
    J.ASSET_EMPTY_TRASH: Q.BACKGROUND_TASK,
    J.AUDIT_TABLE_CLEANUP: Q.BACKGROUND_TASK,
    J.HLS_SESSION_CLEANUP: Q.BACKGROUND_TASK,
    J.MEMORY_CLEANUP: Q.BACKGROUND_TASK,
    J.MEMORY_GENERATE: Q.BACKGROUND_TASK,
    J.NOTIFICATIONS_CLEANUP: Q.BACKGROUND_TASK,
    J.PERSON_CLEANUP: Q.BACKGROUND_TASK,
    J.SESSION_CLEANUP: Q.BACKGROUND_TASK,
    J.TAG_CLEANUP: Q.BACKGROUND_TASK,
    J.USER_DELETE_CHECK: Q.BACKGROUND_TASK,
    J.USER_SYNC_USAGE: Q.BACKGROUND_TASK,
    J.VERSION_CHECK: Q.BACKGROUND_TASK,
    J.FILE_DELETE: Q.BACKGROUND_TASK,
    J.USER_DELETE: Q.BACKGROUND_TASK,
    J.SEND_MAIL: Q.NOTIFICATIONS,
    J.NOTIFY_ALBUM_INVITE: Q.NOTIFICATIONS,
    J.NOTIFY_ALBUM_UPDATE: Q.NOTIFICATIONS,
    J.NOTIFY_USER_SIGNUP: Q.NOTIFICATIONS,
    J.DATABASE_BACKUP: Q.BACKUP_DATABASE,
    J.WORKFLOW_ASSET_TRIGGER: Q.WORKFLOW,
    J.INTEGRITY_UNTRACKED_FILES_QUEUE_ALL: Q.INTEGRITY_CHECK,
    J.INTEGRITY_MISSING_FILES_QUEUE_ALL: Q.INTEGRITY_CHECK,
    J.INTEGRITY_CHECKSUM_FILES: Q.INTEGRITY_CHECK,
    J.INTEGRITY_UNTRACKED_FILES: Q.INTEGRITY_CHECK,
    J.INTEGRITY_MISSING_FILES: Q.INTEGRITY_CHECK,
    J.INTEGRITY_MISSING_FILES_REFRESH: Q.INTEGRITY_CHECK,
    J.INTEGRITY_UNTRACKED_REFRESH: Q.INTEGRITY_CHECK,
    J.INTEGRITY_CHECKSUM_FILES_REFRESH: Q.INTEGRITY_CHECK,
    J.INTEGRITY_DELETE_REPORT_TYPE: Q.INTEGRITY_CHECK,
    J.INTEGRITY_DELETE_REPORTS: Q.INTEGRITY_CHECK,
    J.RECONCILE: Q.INTEGRITY_CHECK,
}

OWN_JOBS = frozenset({J.RECONCILE, J.ASSET_ENCODE_VIDEO_PART, J.ASSET_JOIN_VIDEO_PARTS, J.GATHER_PEOPLE})
"""Jobs that Immich does not know: each has a `wire_name`."""

SEQUENTIAL_QUEUES = frozenset(
    {Q.FACIAL_RECOGNITION, Q.DUPLICATE_DETECTION, Q.STORAGE_TEMPLATE_MIGRATION, Q.BACKUP_DATABASE}
)
"""Queues that run one call at a time in the whole cluster."""

LAST_QUEUES = frozenset({Q.OCR})
"""Queues that take of the CPUs what the others leave: what they do costs the most and is missed the least."""

WORKER_OF_QUEUE: dict[QueueName, WorkerName] = {
    queue: (
        WorkerName.MACHINE_LEARNING
        if queue in {Q.SMART_SEARCH, Q.FACE_DETECTION, Q.OCR}
        else WorkerName.ENCODING
        if queue is Q.VIDEO_CONVERSION
        else WorkerName.MICROSERVICES
    )
    for queue in QueueName
}
"""The narrowest worker that serves each queue. `microservices` on a node stands for all three."""
