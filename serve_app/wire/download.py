"""Downloads in Immich's spelling. Source: spec/api.md §9."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, StrictBool, StrictInt

from serve_app.services.download_info import ARCHIVE_SIZE_BYTES, Archive
from serve_app.wire.common import LARGEST, Wire, WireId
from serve_app.wire.search import NOT_GIVEN


class PlanDownload(Wire):
    """What is wanted: some assets, an album, or all that somebody has. `archiveSize`: bytes."""

    asset_ids: list[WireId] = NOT_GIVEN
    album_id: WireId = NOT_GIVEN
    user_id: WireId = NOT_GIVEN
    archive_size: Annotated[StrictInt, Field(ge=1, le=LARGEST)] = ARCHIVE_SIZE_BYTES


class DownloadArchive(Wire):
    """What goes into one archive."""

    asset_ids: list[WireId]
    edited: StrictBool = False


class ArchiveInfo(Wire):
    """One archive, in bytes."""

    size: int
    asset_ids: list[str]


class DownloadInfo(Wire):
    """All of them."""

    total_size: int
    archives: list[ArchiveInfo]


def download_info(archives: Sequence[Archive]) -> DownloadInfo:
    return DownloadInfo(
        total_size=sum(one.size_bytes for one in archives),
        archives=[ArchiveInfo(size=one.size_bytes, asset_ids=one.asset_ids) for one in archives],
    )
