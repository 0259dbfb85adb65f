"""Finds a user's assets by what they show: near a text, or near another asset. Source: spec/jobs-ml.md §4."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import exists
from sqlalchemy.orm import Session

from cluster.db.queries import asset_search, embeddings
from cluster.db.queries.asset_search import AssetFilter
from cluster.db.queries.embeddings import EmbeddingKind
from cluster.db.tables.asset import Asset
from cluster.db.tables.learned import SmartSearch
from cluster.errors import BadRequest, ModelUnavailable, Unavailable
from serve_app.deps import Caller, Services
from serve_app.services.get_asset import require_readable
from serve_app.services.search_assets import Page, Shown, admitted, seen_assets
from serve_app.services.system_config import get_config
from serve_app.text_points import Text
from tasks.jobs.smart_search import is_on, model_of

LETTERS_MOST = 4096
"""Of a text. A model sees some dozens of words of it; the rest would be cut into words, and remembered, for nothing."""
LANGUAGE_LETTERS_MOST = 35
"""As long as the tag of a language is."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """What is looked for: a text, else what looks like an asset. `language`: of the text, as the client says."""

    text: str | None
    asset_id: str | None
    language: str | None


def smart_page(
    services: Services, caller: Caller, wanted: AssetFilter, like: Likeness, shown: Shown, *, page: int, size: int
) -> Page:
    """Nearest first; however far, there is always a nearest. `page`: 1 and up.

    Raises BadRequest, NotAuthenticated, Unavailable. Blocks.
    """
    config = get_config(services)
    if not is_on(config):
        raise BadRequest("Smart search is not enabled")
    model, found_point = model_of(config), None
    if like.text:  # before any transaction: it may take a while
        found_point = _point_of_text(services, model, like)
    with services.database.reader() as session:
        wanted = admitted(session, caller, wanted)
        point = _point_of(session, caller, like.asset_id, model) if found_point is None else found_point
        among = asset_search.ids_of(wanted)
        if not embeddings.are_all_of(session, EmbeddingKind.SMART_SEARCH, model):  # another one's are being deleted
            among = among.where(exists().where(SmartSearch.asset_id == Asset.id, SmartSearch.model == model))
        limit, owner = page * size + 1, None if wanted.partner_ids else wanted.owner_id
        matches = services.vectors.nearest(session, EmbeddingKind.SMART_SEARCH, point, limit, among, owner)
        ids = [match.id for match in matches[(page - 1) * size :]]
        found = asset_search.in_order(session, ids[:size])
        return Page(seen_assets(session, caller, found, shown), page + 1 if len(ids) > size else None)


def _point_of_text(services: Services, model: str, like: Likeness) -> NDArray[np.float32]:
    words = " ".join((like.text or "").split())[:LETTERS_MOST]
    language = like.language[:LANGUAGE_LETTERS_MOST] if like.language else None
    try:
        return services.texts.point(Text(services.settings.model_folder, model, words, language))
    except ModelUnavailable as missing:
        raise Unavailable(str(missing)) from missing


def _point_of(session: Session, caller: Caller, asset_id: str | None, model: str) -> NDArray[np.float32]:
    if asset_id is None:
        raise BadRequest("Either `query` or `queryAssetId` must be set")
    require_readable(session, caller, [asset_id], "asset.read")
    stored = session.get(SmartSearch, asset_id)
    if stored is None or stored.model != model:
        raise BadRequest(f"Asset {asset_id} has no embedding")
    return embeddings.unpacked(stored.embedding)
