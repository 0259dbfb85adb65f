"""Which file names are media, and of what kind: the extension decides, in any case of letters.

Source: spec jobs-media §5, the closed lists that Immich's clients know.
"""

from pathlib import PurePath
from typing import Final

WEB_IMAGES: Final[dict[str, str]] = {
    ".avif": "image/avif",
    ".bmp": "image/bmp",
    ".gif": "image/gif",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
}

OTHER_IMAGES: Final[dict[str, str]] = {
    ".heic": "image/heic",
    ".heif": "image/heif",
    ".hif": "image/hif",
    ".insp": "image/jpeg",
    ".jp2": "image/jp2",
    ".jpe": "image/jpeg",
    ".jxl": "image/jxl",
    ".mpo": "image/jpeg",
    ".svg": "image/svg",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
}

_RAW_EXTENSIONS = (
    "3fr ari arw cap cin cr2 cr3 crw dcr dng erf fff iiq k25 kdc mrw nef nrw orf ori pef psd raf raw rw2 rwl "
    "sr2 srf srw x3f"
)
RAW_IMAGES: Final[dict[str, str]] = {f".{name}": f"image/{name}" for name in _RAW_EXTENSIONS.split()}

IMAGES: Final[dict[str, str]] = WEB_IMAGES | OTHER_IMAGES | RAW_IMAGES

VIDEOS: Final[dict[str, str]] = {
    ".3gp": "video/3gpp",
    ".3gpp": "video/3gpp",
    ".avi": "video/avi",
    ".flv": "video/x-flv",
    ".insv": "video/mp4",
    ".m2t": "video/mp2t",
    ".m2ts": "video/mp2t",
    ".m4v": "video/x-m4v",
    ".mkv": "video/x-matroska",
    ".mov": "video/quicktime",
    ".mp4": "video/mp4",
    ".mpe": "video/mpeg",
    ".mpeg": "video/mpeg",
    ".mpg": "video/mpeg",
    ".mts": "video/mp2t",
    ".mxf": "application/mxf",
    ".ts": "video/mp2t",
    ".vob": "video/mpeg",
    ".webm": "video/webm",
    ".wmv": "video/x-ms-wmv",
}

SIDECARS: Final[dict[str, str]] = {".xmp": "application/xml"}

PROFILE_EXTENSIONS: Final = frozenset(
    {".avif", ".dng", ".heic", ".heif", ".jpeg", ".jpg", ".png", ".webp", ".svg"},
)
POSSIBLY_ANIMATED: Final = frozenset({".avif", ".gif", ".heic", ".heif", ".jxl", ".png", ".webp"})
POSSIBLY_TRANSPARENT: Final = frozenset(
    {".avif", ".bmp", ".gif", ".heic", ".heif", ".hif", ".jxl", ".png", ".svg", ".tif", ".tiff", ".webp"},
)
HEIF_FAMILY: Final = frozenset({".avif", ".heic", ".heif", ".hif"})

UNKNOWN_MIME: Final = "application/octet-stream"


def extension(name: str) -> str:
    """`IMG.JPG` → `.jpg`; a name without one → an empty string. A file called `.jpg` has none."""
    return PurePath(name).suffix.lower()


def mime_type(name: str) -> str:
    """The type that a file of this name is served as."""
    known = IMAGES | VIDEOS | SIDECARS
    return known.get(extension(name), UNKNOWN_MIME)


def is_image(name: str) -> bool:
    return extension(name) in IMAGES


def is_video(name: str) -> bool:
    return extension(name) in VIDEOS


def is_asset(name: str) -> bool:
    """A picture or a video: what may be uploaded or found by a library scan."""
    return is_image(name) or is_video(name)


def is_sidecar(name: str) -> bool:
    return extension(name) in SIDECARS


def is_raw(name: str) -> bool:
    """A camera's own format, and `.psd`: clients list it there."""
    return extension(name) in RAW_IMAGES


def is_profile_image(name: str) -> bool:
    """May be a user's profile picture."""
    return extension(name) in PROFILE_EXTENSIONS


def is_web_displayable(name: str) -> bool:
    """Every browser shows the original, so no full-size copy is needed."""
    return extension(name) in WEB_IMAGES


def may_be_animated(name: str) -> bool:
    return extension(name) in POSSIBLY_ANIMATED


def may_be_transparent(name: str) -> bool:
    return extension(name) in POSSIBLY_TRANSPARENT


def is_heif_family(name: str) -> bool:
    """Rotation stands in the container here, and EXIF's is ignored."""
    return extension(name) in HEIF_FAMILY
