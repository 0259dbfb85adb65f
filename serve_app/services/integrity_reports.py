"""Looks at integrity reports, and does away with what one is about. Source: spec/pipeline.md §9."""

from collections.abc import Iterator
from pathlib import Path

from cluster.db.queries import integrity
from cluster.db.queries.integrity import ReportType
from cluster.db.tables.integrity import IntegrityReport
from cluster.errors import NotFound
from cluster.storage.import_paths import is_inside, normalised
from serve_app.deps import Services
from tasks.jobs.delete_integrity_reports import delete_reported

CSV_PAGE = 1000


def count_reports(services: Services) -> dict[ReportType, int]:
    with services.database.reader() as session:
        return integrity.counts(session)


def list_reports(services: Services, kind: ReportType, after_path: str | None, limit: int) -> list[IntegrityReport]:
    """In the order of paths, one more than `limit` where there are more."""
    with services.database.reader() as session:
        return integrity.report_page(session, kind, after_path, limit + 1)


def every_report(services: Services, kind: ReportType) -> Iterator[list[IntegrityReport]]:
    """All of a type, page by page, each in a transaction of its own: whoever downloads slowly holds none open."""
    after: str | None = None
    while True:
        with services.database.reader() as session:
            found = integrity.report_page(session, kind, after, CSV_PAGE)
        if not found:
            return
        yield found
        after = found[-1].path


def delete_report(services: Services, report_id: str) -> None:
    """The report goes, and an untracked file is deleted, an asset trashed, or a derived file's row with it. Blocks.

    Raises NotFound.
    """
    with services.database.session(durable=True) as session:
        found = integrity.reports(session, [report_id])
        if not found:
            raise NotFound("Not Found")
        delete_reported(session, services.store, services.layout, found, services.clock.now())


def reported_file(services: Services, report_id: str) -> Path:
    """The file that a report is about. It lies in the media folder or in its external library, links followed. Blocks.

    Raises NotFound, also for a file that is not there.
    """
    with services.database.reader() as session:
        found = integrity.reports(session, [report_id])
        roots = [str(services.layout.media_root)]
        if found and found[0].asset_id:
            roots += integrity.import_paths_of(session, found[0].asset_id)
    if not found:
        raise NotFound("Not Found")
    real = Path(found[0].path).resolve()
    if not any(is_inside(str(real), str(Path(normalised(root)).resolve())) for root in roots) or not real.is_file():
        raise NotFound("Not Found")
    return real
