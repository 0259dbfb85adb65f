"""/admin/integrity: where database and disk disagree. Admins only. Source: Immich's published API."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import StreamingResponse
from starlette.responses import Response

from cluster.db.queries.integrity import ReportType
from serve_app.deps import Caller, Services, ServicesOf, allow
from serve_app.file_response import respond_with_file
from serve_app.services import integrity_reports
from serve_app.wire.common import WireId
from serve_app.wire.integrity import (
    Cursor,
    PageLimit,
    ReportPage,
    ReportSummary,
    csv_header,
    csv_lines,
    report_page,
    report_summary,
)

router = APIRouter(prefix="/admin/integrity", tags=["integrity"])

Keeper = Annotated[Caller, Depends(allow("maintenance", admin=True))]
BYTES = "application/octet-stream"


@router.get("/summary")
def get_integrity_summary(caller: Keeper, services: ServicesOf) -> ReportSummary:
    """How many files are reported, by type."""
    return report_summary(integrity_reports.count_reports(services))


@router.get("/report")
def get_integrity_report(
    caller: Keeper,
    services: ServicesOf,
    kind: Annotated[ReportType, Query(alias="type")],
    cursor: Annotated[Cursor | None, Query()] = None,
    limit: Annotated[PageLimit, Query()] = 500,
) -> ReportPage:
    """Reported files of one type, page by page."""
    most = min(limit, 10_000)
    return report_page(integrity_reports.list_reports(services, kind, cursor, most), most)


@router.get("/report/{type}/csv", response_class=StreamingResponse)
def get_integrity_csv(
    kind: Annotated[ReportType, Path(alias="type")], caller: Keeper, services: ServicesOf
) -> Response:
    """All of one type, as a table."""
    headers = {"content-disposition": f'attachment; filename="{kind.value}.csv"', "cache-control": "private, no-cache"}
    return StreamingResponse(_csv(services, kind), media_type=BYTES, headers=headers)


def _csv(services: Services, kind: ReportType) -> Iterator[str]:
    yield csv_header()
    yield from map(csv_lines, integrity_reports.every_report(services, kind))


@router.get("/report/{id}/file", response_class=Response)
def get_integrity_file(id: WireId, request: Request, caller: Keeper, services: ServicesOf) -> Response:
    """The file itself."""
    path = integrity_reports.reported_file(services, id)
    return respond_with_file(path, BYTES, path.name, request.headers)


@router.delete("/report/{id}")
def delete_integrity_report(id: WireId, caller: Keeper, services: ServicesOf) -> None:
    """Do away with what one report is about."""
    integrity_reports.delete_report(services, id)
