"""/download: many assets as zip archives. Source: spec/api.md §9."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from serve_app.deps import Caller, ServicesOf, allow
from serve_app.services.download_archive import archive_members
from serve_app.services.download_info import plan_download
from serve_app.wire import download as wire
from serve_app.zip_stream import ZipResponse

router = APIRouter(prefix="/download", tags=["download"])

Downloader = Annotated[Caller, Depends(allow("asset.download", shared=True))]

ARCHIVE_NAME = "heliostat.zip"


@router.post("/info", status_code=201)
def get_download_info(body: wire.PlanDownload, services: ServicesOf, caller: Downloader) -> wire.DownloadInfo:
    """How much it is, and what goes into which archive."""
    archives = plan_download(
        services,
        caller,
        asset_ids=body.asset_ids,
        album_id=body.album_id,
        owner_id=body.user_id,
        archive_size_bytes=body.archive_size,
    )
    return wire.download_info(archives)


@router.post("/archive", response_class=Response)
def download_archive(body: wire.DownloadArchive, services: ServicesOf, caller: Downloader) -> Response:
    """One archive, while its files are read."""
    return ZipResponse(archive_members(services, caller, body.asset_ids, body.edited), ARCHIVE_NAME)
