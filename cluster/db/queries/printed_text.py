"""Text that was read in pictures: written, shown, forgotten. Every function takes the caller's transaction."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from cluster.db.tables.asset import AssetJobStatus
from cluster.db.tables.learned import AssetOcr, OcrSearch
from cluster.db.text_search import searchable
from cluster.db.upsert import upsert


def replace_text(session: Session, asset_id: str, lines: Iterable[AssetOcr], at: datetime) -> None:
    """From now on the asset has these lines, in this order; read `at` that time."""
    lines = list(lines)
    session.execute(delete(AssetOcr).where(AssetOcr.asset_id == asset_id))
    session.add_all(lines)
    if words := searchable("\n".join(line.text for line in lines)):
        upsert(session, OcrSearch, [{"asset_id": asset_id, "text": words}], key=["asset_id"])
    else:
        session.execute(delete(OcrSearch).where(OcrSearch.asset_id == asset_id))
    upsert(session, AssetJobStatus, [{"asset_id": asset_id, "ocr_at": at}], key=["asset_id"])


def text_of(session: Session, asset_id: str) -> list[AssetOcr]:
    """What is to be seen of it, in reading order."""
    shown = select(AssetOcr).where(AssetOcr.asset_id == asset_id, AssetOcr.is_visible)
    return list(session.scalars(shown.order_by(AssetOcr.number)))


def forget_text(session: Session, after: str, last: str | None) -> None:
    """Of all assets whose ids come after `after`, up to `last` if there is one: as if nobody had ever looked."""
    for table, of_asset in ((AssetOcr, AssetOcr.asset_id), (OcrSearch, OcrSearch.asset_id)):
        chosen = delete(table).where(of_asset > after)
        session.execute(chosen if last is None else chosen.where(of_asset <= last))
    looked = update(AssetJobStatus).where(AssetJobStatus.asset_id > after).values(ocr_at=None)
    session.execute(looked if last is None else looked.where(AssetJobStatus.asset_id <= last))
