"""Integrity reports in Immich's spelling. Source: Immich's published API, `/admin/integrity`."""

import base64
import binascii
import csv
import io
from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from cluster.db.queries.integrity import ReportType
from cluster.db.tables.integrity import IntegrityReport
from serve_app.wire.common import LARGEST, WhenKnown, Wire

CSV_HEADER = ("id", "type", "assetId", "fileAssetId", "path")


def _decoded(cursor: str) -> str:
    """The path behind a cursor."""
    try:
        return base64.b64decode(cursor, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise PydanticCustomError("cursor", "Invalid cursor") from None


PageLimit = Annotated[int, Field(gt=0, le=LARGEST)]
Cursor = Annotated[str, AfterValidator(_decoded)]
"""What `nextCursor` said; clients do not look into it."""


class ReportSummary(Wire):
    """How many files of each type are reported. The names are the wire's, unlike all others."""

    checksum_mismatch: Annotated[int, Field(alias="checksum_mismatch")]
    missing_file: Annotated[int, Field(alias="missing_file")]
    untracked_file: Annotated[int, Field(alias="untracked_file")]


class ReportSeen(Wire):
    """One file."""

    id: str
    type: ReportType
    path: str


class ReportPage(Wire):
    """Some, and where to go on; without a cursor that was all."""

    items: list[ReportSeen]
    next_cursor: WhenKnown[str] = None


def report_summary(counts: Mapping[ReportType, int]) -> ReportSummary:
    return ReportSummary.model_validate({kind.value: count for kind, count in counts.items()})


def report_page(found: list[IntegrityReport], limit: int) -> ReportPage:
    """`found`: one more than `limit` where there are more."""
    shown = found[:limit]
    more = base64.urlsafe_b64encode(shown[-1].path.encode()).decode() if len(found) > limit else None
    items = [ReportSeen(id=one.id, type=ReportType(one.type), path=one.path) for one in shown]
    return ReportPage(items=items, next_cursor=more)


def csv_lines(found: Iterable[IntegrityReport]) -> str:
    """Rows below `CSV_HEADER`, quoted as RFC 4180 says."""
    return _csv((one.id, one.type, one.asset_id or "", one.asset_file_id or "", one.path) for one in found)


def csv_header() -> str:
    return _csv([CSV_HEADER])


def _csv(rows: Iterable[tuple[str, ...]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
