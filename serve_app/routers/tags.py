"""/tags. Source: spec/api.md §1, §4.3."""

from typing import Annotated

from fastapi import APIRouter, Depends

from serve_app.deps import Caller, ServicesOf, allow
from serve_app.services import tag_assets, tags
from serve_app.wire import tag as wire
from serve_app.wire.common import WireId
from serve_app.wire.outcome import OutcomeResponse, outcome_response

router = APIRouter(prefix="/tags", tags=["tags"])

Reader = Annotated[Caller, Depends(allow("tag.read"))]
Creator = Annotated[Caller, Depends(allow("tag.create"))]
Updater = Annotated[Caller, Depends(allow("tag.update"))]
Deleter = Annotated[Caller, Depends(allow("tag.delete"))]
Tagger = Annotated[Caller, Depends(allow("tag.asset"))]


@router.get("")
def get_all_tags(caller: Reader, services: ServicesOf) -> list[wire.TagResponse]:
    """The caller's, in the order of their paths."""
    return [wire.seen_tag(seen) for seen in tags.list_tags(services, caller.user_id)]


@router.post("", status_code=201)
def create_tag(body: wire.NewTag, caller: Creator, services: ServicesOf) -> wire.TagResponse:
    """A new tag, below another or at the top."""
    made = tags.create_tag(services, caller.user_id, body.name, body.parent_id, body.color, body.description)
    return wire.seen_tag(made)


@router.put("")
def upsert_tags(body: wire.TagUpsert, caller: Creator, services: ServicesOf) -> list[wire.TagResponse]:
    """Tags by their paths, made where they are missing."""
    return [wire.seen_tag(seen) for seen in tags.upsert_tags(services, caller.user_id, body.tags)]


@router.put("/assets")
def bulk_tag_assets(body: wire.BulkTag, caller: Tagger, services: ServicesOf) -> wire.BulkTagged:
    """Every tag on every asset."""
    return wire.BulkTagged(count=tag_assets.tag_many(services, caller, body.tag_ids, body.asset_ids))


@router.get("/{id}")
def get_tag_by_id(id: WireId, caller: Reader, services: ServicesOf) -> wire.TagResponse:
    """One tag."""
    return wire.seen_tag(tags.get_tag(services, caller.user_id, id))


@router.put("/{id}")
@router.patch("/{id}", include_in_schema=False)
def update_tag(id: WireId, body: wire.TagUpdate, caller: Updater, services: ServicesOf) -> wire.TagResponse:
    """Rename or recolour a tag."""
    return wire.seen_tag(tags.update_tag(services, caller.user_id, id, body.changes()))


@router.delete("/{id}", status_code=204)
def delete_tag(id: WireId, caller: Deleter, services: ServicesOf) -> None:
    """Delete a tag with those below it."""
    tags.delete_tag(services, caller.user_id, id)


@router.put("/{id}/assets")
def tag_some_assets(id: WireId, body: wire.TagIds, caller: Tagger, services: ServicesOf) -> list[OutcomeResponse]:
    """Hang assets on a tag."""
    return [outcome_response(one) for one in tag_assets.tag_assets(services, caller, id, body.ids)]


@router.delete("/{id}/assets")
def untag_some_assets(id: WireId, body: wire.TagIds, caller: Tagger, services: ServicesOf) -> list[OutcomeResponse]:
    """Take assets off a tag."""
    return [outcome_response(one) for one in tag_assets.untag_assets(services, caller, id, body.ids)]
