"""Tags assets and takes tags off them. Each change is locked in the asset's metadata and goes to its sidecar.

Source: spec/pipeline.md §3.
"""

from collections.abc import Sequence

from cluster.db.queries import assets, tags
from serve_app.deps import Caller, Services
from serve_app.services.outcomes import Outcome, Refusal, done, one_by_one
from serve_app.services.tags import note_tags, require_tag


def tag_assets(services: Services, caller: Caller, tag_id: str, ids: Sequence[str]) -> list[Outcome]:
    """In the order of the ids. Raises BadRequest for a tag that is not the user's. Blocks."""
    with services.database.session(durable=True) as session:
        require_tag(session, caller.user_id, tag_id, "tag.asset")
        mine = assets.owned_ids(session, caller.user_id, ids, with_locked=caller.elevated)
        known = {asset_id for _, asset_id in tags.links_between(session, [tag_id], ids)}
        outcomes = one_by_one(ids, lambda one: Refusal.DUPLICATE if one in known else None, Refusal.DUPLICATE, mine)
        added = done(outcomes)
        tags.link(session, [(tag_id, asset_id) for asset_id in added])
        note_tags(services, session, added, services.clock.now())
    return outcomes


def untag_assets(services: Services, caller: Caller, tag_id: str, ids: Sequence[str]) -> list[Outcome]:
    """In the order of the ids. Raises BadRequest for a tag that is not the user's. Blocks."""
    with services.database.session(durable=True) as session:
        require_tag(session, caller.user_id, tag_id, "tag.asset")
        mine = assets.owned_ids(session, caller.user_id, ids, with_locked=caller.elevated)
        known = {asset_id for _, asset_id in tags.links_between(session, [tag_id], ids)}
        outcomes = one_by_one(ids, lambda one: None if one in known else Refusal.NOT_FOUND, Refusal.NOT_FOUND, mine)
        removed = done(outcomes)
        tags.unlink(session, tag_id, removed)
        note_tags(services, session, removed, services.clock.now())
    return outcomes


def tag_many(services: Services, caller: Caller, tag_ids: Sequence[str], ids: Sequence[str]) -> int:
    """Every tag on every asset, leaving out what is not the user's; how many links are new. Blocks."""
    with services.database.session(durable=True) as session:
        own_tags = [tag.id for tag in tags.owned_tags(session, caller.user_id, tag_ids)]
        own_assets = assets.owned_ids(session, caller.user_id, ids, with_locked=caller.elevated)
        known = tags.links_between(session, own_tags, own_assets)
        new = {(tag_id, asset_id) for tag_id in own_tags for asset_id in own_assets} - known
        tags.link(session, new)
        note_tags(services, session, sorted({asset_id for _, asset_id in new}), services.clock.now())
    return len(new)
