"""What an API key may be allowed to do: Immich's closed list. Source: spec/api.md §1."""

_GROUPS: dict[str, str] = {
    "activity": "create read update delete statistics",
    "apiKey": "create read update delete",
    "asset": "read update delete statistics share view download upload copy derive",
    "asset.edit": "get create delete",
    "album": "create read update delete statistics share download",
    "albumAsset": "create delete",
    "albumUser": "create update delete",
    "auth": "changePassword",
    "authDevice": "delete",
    "archive": "read",
    "backup": "list download upload delete",
    "duplicate": "read delete",
    "face": "create read update delete",
    "folder": "read",
    "job": "create read",
    "library": "create read update delete statistics",
    "timeline": "read download",
    "map": "read search",
    "memory": "create read update delete statistics",
    "memoryAsset": "create delete",
    "notification": "create read update delete",
    "partner": "create read update delete",
    "person": "create read update delete statistics merge reassign",
    "pinCode": "create update delete",
    "plugin": "create read update delete",
    "server": "about apkLinks storage statistics versionCheck",
    "serverLicense": "read update delete",
    "session": "create read update delete lock",
    "sharedLink": "create read update delete",
    "stack": "create read update delete",
    "sync": "stream",
    "syncCheckpoint": "read update delete",
    "systemConfig": "read update",
    "systemMetadata": "read update",
    "tag": "create read update delete asset",
    "user": "read update",
    "userLicense": "create read update delete",
    "userOnboarding": "read update delete",
    "userPreference": "read update",
    "userProfileImage": "create read update delete",
    "queue": "read update",
    "queueJob": "create read update delete",
    "workflow": "create read update delete",
    "adminUser": "create read update delete",
    "adminSession": "read",
    "adminAuth": "unlinkAll",
}

ALL = "all"
"""Everything; also what a route asks for that declares nothing."""
ANY = ""
"""Asked for by routes that take any key."""

PERMISSIONS: tuple[str, ...] = (
    ALL,
    "maintenance",
    *(f"{group}.{verb}" for group, verbs in _GROUPS.items() for verb in verbs.split()),
)


def covers(granted: frozenset[str], wanted: str) -> bool:
    """Whether a key with `granted` may do `wanted`."""
    return wanted == ANY or ALL in granted or wanted in granted
