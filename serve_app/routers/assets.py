"""Photos and videos: in, shown, changed, counted, deleted. Source: spec/api.md §4."""

from collections.abc import Callable
from typing import Annotated
from urllib.parse import urlencode

from anyio import CancelScope, to_thread
from fastapi import APIRouter, Depends, Header, Query, Request
from pydantic import ValidationError
from starlette.responses import JSONResponse, RedirectResponse, Response

from cluster.errors import BadRequest
from serve_app.deps import (
    Caller,
    ServicesOf,
    allow,
    authenticate,
    check_permission,
    services_of,
    short_reads_of,
)
from serve_app.file_response import respond_with_file
from serve_app.multipart import BOUNDED_ELSEWHERE, UploadCutOff, read_form
from serve_app.services import asset_metadata, serve_media
from serve_app.services.asset_statistics import count_assets
from serve_app.services.check_upload import check_uploads, parse_checksum
from serve_app.services.copy_asset import copy_asset_details
from serve_app.services.delete_asset import delete_assets
from serve_app.services.get_asset import check_access, get_asset, get_metadata, get_text
from serve_app.services.run_asset_jobs import run_asset_jobs
from serve_app.services.serve_media import ServedFile, ThumbnailSize
from serve_app.services.update_asset import update_asset, update_assets
from serve_app.services.upload import Upload, Uploaded, find_upload
from serve_app.wire import asset as wire
from serve_app.wire.common import PlainText, WireId
from serve_app.wire.validation import wire_issues

router = APIRouter(tags=["assets"])

Uploader = Annotated[Caller, Depends(allow("asset.upload"))]
VisitingUploader = Annotated[Caller, Depends(allow("asset.upload", shared=True))]
Reader = Annotated[Caller, Depends(allow("asset.read"))]
Visitor = Annotated[Caller, Depends(allow("asset.read", shared=True))]
Editor = Annotated[Caller, Depends(allow("asset.update"))]
Deleter = Annotated[Caller, Depends(allow("asset.delete"))]


@router.get("/assets/{asset_id}/thumbnail", response_class=Response)
@router.head("/assets/{asset_id}/thumbnail", include_in_schema=False)
async def view_asset(
    request: Request,
    asset_id: WireId,
    size: ThumbnailSize = ThumbnailSize.THUMBNAIL,
    edited: bool = False,
) -> Response:
    def find(may_wait: bool) -> ServedFile | ThumbnailSize:
        services = services_of(request)
        caller = authenticate(services, request, shared=True, may_wait=may_wait)
        check_permission(caller, "asset.view", admin=False)
        return serve_media.thumbnail(services, caller, asset_id, size, edited)

    found = await short_reads_of(request).run("thumbnail", find)
    if isinstance(found, ThumbnailSize):
        return _redirect(request, found)
    return await to_thread.run_sync(_send, request, found)


@router.post("/assets", status_code=201, response_model=wire.UploadResponse, max_body_size=BOUNDED_ELSEWHERE)
async def upload_asset(
    request: Request,
    services: ServicesOf,
    caller: VisitingUploader,
    x_immich_checksum: Annotated[str | None, Header()] = None,
) -> Response:
    """Take a file in. One that the caller is known to have is answered before its bytes are read; who comes by a link
    has to show them, or could ask what its owner has."""
    sha1 = parse_checksum(x_immich_checksum or "") if caller.link is None else None
    known = await to_thread.run_sync(find_upload, services, caller.user_id, sha1) if sha1 else None
    if known is not None:
        return _uploaded(known)
    upload = Upload(services, caller.user_id, caller.link)
    try:
        upload.announced(request.headers.get("content-length", ""))
        texts = await read_form(request.receive, request.headers.get("content-type", ""), upload.open_file)
        details = _read_texts(texts).details()
        return _uploaded(await to_thread.run_sync(upload.accept, details))
    except UploadCutOff:
        return Response(status_code=400)  # to nobody
    finally:
        with CancelScope(shield=True):
            await to_thread.run_sync(upload.discard)


@router.post("/assets/bulk-upload-check", response_model_exclude_none=True)
def check_bulk_upload(
    body: wire.BulkUploadCheck, services: ServicesOf, caller: Uploader
) -> wire.BulkUploadCheckResponse:
    files = [(item.id, item.checksum) for item in body.assets]
    return wire.checked_response(check_uploads(services, caller.user_id, files))


@router.post("/assets/jobs", status_code=204)
def run_jobs(
    body: wire.RunAssetJobs, services: ServicesOf, caller: Annotated[Caller, Depends(allow("job.create"))]
) -> None:
    run_asset_jobs(services, caller, body.asset_ids, wire.ASSET_JOBS[body.name])


@router.get("/assets/statistics")
def get_asset_statistics(
    services: ServicesOf,
    caller: Annotated[Caller, Depends(allow("asset.statistics"))],
    is_favorite: Annotated[bool | None, Query(alias="isFavorite")] = None,
    is_trashed: Annotated[bool | None, Query(alias="isTrashed")] = None,
    visibility: wire.Visibility | None = None,
) -> wire.AssetStatistics:
    counts = count_assets(
        services, caller, caller.user_id, favorite=is_favorite, trashed=is_trashed, visibility=visibility
    )
    return wire.statistics_response(counts)


@router.put("/assets", status_code=204)
@router.patch("/assets", status_code=204, include_in_schema=False)
def update_many_assets(body: wire.UpdateAssets, services: ServicesOf, caller: Editor) -> None:
    update_assets(services, caller, body.ids, body.changes())


@router.delete("/assets", status_code=204)
def delete_many_assets(body: wire.DeleteAssets, services: ServicesOf, caller: Deleter) -> None:
    delete_assets(services, caller, body.ids, body.force)


@router.put("/assets/metadata")
def update_bulk_asset_metadata(
    body: wire.PutMetadataOfMany, services: ServicesOf, caller: Editor
) -> list[wire.MetadataOfAsset]:
    wanted = [(item.asset_id, item.key, item.value) for item in body.items]
    return [wire.metadata_of_asset(row) for row in asset_metadata.put(services, caller, wanted)]


@router.delete("/assets/metadata", status_code=204)
def delete_bulk_asset_metadata(body: wire.DeleteMetadataOfMany, services: ServicesOf, caller: Editor) -> None:
    asset_metadata.delete(services, caller, [(item.asset_id, item.key) for item in body.items])


@router.put("/assets/copy", status_code=204)
def copy_asset(
    body: wire.CopyAsset, services: ServicesOf, caller: Annotated[Caller, Depends(allow("asset.copy"))]
) -> None:
    """What people made of one asset, for another: where an edited file takes the place of the first."""
    copy_asset_details(services, caller, body.source_id, body.target_id, body.what())


@router.get("/assets/{asset_id}", response_model=wire.AssetResponse)
def get_one_asset(asset_id: WireId, services: ServicesOf, caller: Visitor) -> wire.AssetResponse | Response:
    seen = get_asset(services, caller, asset_id)
    if seen.bare:
        return JSONResponse(wire.bare_asset(seen.asset).model_dump(mode="json", by_alias=True))
    return wire.seen_asset(seen)


@router.put("/assets/{asset_id}")
@router.patch("/assets/{asset_id}", include_in_schema=False)
def update_one_asset(
    asset_id: WireId, body: wire.UpdateAsset, services: ServicesOf, caller: Editor
) -> wire.AssetResponse:
    return wire.asset_response(*update_asset(services, caller, asset_id, body.changes()))


@router.get("/assets/{asset_id}/metadata")
def get_asset_metadata(asset_id: WireId, services: ServicesOf, caller: Reader) -> list[wire.MetadataResponse]:
    return [wire.metadata_response(row) for row in get_metadata(services, caller, asset_id)]


@router.put("/assets/{asset_id}/metadata")
def update_asset_metadata(
    asset_id: WireId, body: wire.PutMetadata, services: ServicesOf, caller: Editor
) -> list[wire.MetadataResponse]:
    """Under keys of the client's own, in place of what was there."""
    wanted = [(asset_id, item.key, item.value) for item in body.items]
    return [wire.metadata_response(row) for row in asset_metadata.put(services, caller, wanted)]


@router.get("/assets/{asset_id}/metadata/{key}")
def get_asset_metadata_by_key(
    asset_id: WireId, key: PlainText, services: ServicesOf, caller: Reader
) -> wire.MetadataResponse:
    return wire.metadata_response(asset_metadata.get(services, caller, asset_id, key))


@router.delete("/assets/{asset_id}/metadata/{key}", status_code=204)
def delete_asset_metadata(asset_id: WireId, key: PlainText, services: ServicesOf, caller: Editor) -> None:
    asset_metadata.delete(services, caller, [(asset_id, key)])


@router.get("/assets/{asset_id}/ocr")
def get_asset_ocr(asset_id: WireId, services: ServicesOf, caller: Reader) -> list[wire.OcrResponse]:
    """What was read in the picture, line by line."""
    return [wire.ocr_response(line) for line in get_text(services, caller, asset_id)]


@router.get("/assets/{asset_id}/edits")
def get_asset_edits(
    asset_id: WireId, services: ServicesOf, caller: Annotated[Caller, Depends(allow("asset.edit.get"))]
) -> wire.EditsResponse:
    """Nothing, as long as there is no editor."""
    check_access(services, caller, asset_id, "asset.edit.get")
    return wire.EditsResponse(asset_id=asset_id)


# The two below ask who calls, look the file up and read a small one in a single turn of one thread:
# `ServicesOf` would cost another.


@router.get("/assets/{asset_id}/original", response_class=Response)
@router.head("/assets/{asset_id}/original", include_in_schema=False)
async def download_asset(request: Request, asset_id: WireId, edited: bool = False) -> Response:
    def find(caller: Caller) -> ServedFile:
        return serve_media.original(services_of(request), caller, asset_id, edited)

    return await to_thread.run_sync(_answer, request, "asset.download", find)


@router.get("/assets/{asset_id}/video/playback", response_class=Response)
@router.head("/assets/{asset_id}/video/playback", include_in_schema=False)
async def play_asset_video(request: Request, asset_id: WireId) -> Response:
    def find(caller: Caller) -> ServedFile:
        return serve_media.playback(services_of(request), caller, asset_id)

    return await to_thread.run_sync(_answer, request, "asset.view", find)


def _answer(request: Request, permission: str, find: Callable[[Caller], ServedFile]) -> Response:
    caller = authenticate(services_of(request), request, shared=True)
    check_permission(caller, permission, admin=False)
    return _send(request, find(caller))


def _send(request: Request, found: ServedFile) -> Response:
    """Blocks: the disk may be far away."""
    headers = dict(request.headers)
    if request.method != "GET":
        headers.pop("range", None)  # RFC 9110 §14.2: a range is of a GET alone
    return respond_with_file(found.path, found.content_type, found.file_name, headers)


def _redirect(request: Request, size: ThumbnailSize) -> Response:
    """To this picture in another size; the original has an address of its own."""
    query = urlencode({**request.query_params, "size": size.value})
    return RedirectResponse(f"{'original' if size is ThumbnailSize.ORIGINAL else 'thumbnail'}?{query}", 302)


def _read_texts(texts: dict[str, str]) -> wire.UploadForm:
    try:
        return wire.UploadForm.model_validate(texts)
    except ValidationError as error:
        in_body = [{**issue, "loc": ("body", *issue["loc"])} for issue in error.errors(include_url=False)]
        raise BadRequest("Validation failed", wire_issues(in_body, wire.UploadForm)) from error


def _uploaded(uploaded: Uploaded) -> JSONResponse:
    return JSONResponse(wire.uploaded_response(uploaded).model_dump(by_alias=True), 201 if uploaded.created else 200)
