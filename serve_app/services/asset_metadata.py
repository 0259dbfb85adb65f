"""What clients want remembered of an asset, under keys of their own. Its owner's clients alone read and write it."""

from collections.abc import Mapping, Sequence
from typing import Any

from cluster.db.queries import assets
from cluster.db.tables.asset import AssetMetadata
from cluster.errors import BadRequest
from serve_app.deps import Caller, Services
from serve_app.services.get_asset import require_owned


def get(services: Services, caller: Caller, asset_id: str, key: str) -> AssetMetadata:
    """Raises BadRequest. Blocks."""
    with services.database.reader() as session:
        require_owned(session, caller, [asset_id], "asset.read")
        found = session.get(AssetMetadata, (asset_id, key))
    if found is None:
        raise BadRequest(f'Metadata with key "{key}" not found for asset with id "{asset_id}"')
    return found


def put(services: Services, caller: Caller, items: Sequence[tuple[str, str, Mapping[str, Any]]]) -> list[AssetMetadata]:
    """(asset, key, value): in place of what was there; of one that comes twice, the last. Returns them as they are now.
    Raises BadRequest. Blocks."""
    wanted: dict[str, dict[str, Mapping[str, Any]]] = {}
    for asset_id, key, value in items:
        wanted.setdefault(asset_id, {})[key] = value
    now = services.clock.now()
    with services.database.session(durable=True) as session:
        require_owned(session, caller, list(wanted), "asset.update")
        for asset_id, values in sorted(wanted.items()):
            assets.put_metadata(session, asset_id, values, now)
        return [
            row
            for asset_id, values in wanted.items()
            for row in assets.metadata_of(session, asset_id)
            if row.key in values
        ]


def delete(services: Services, caller: Caller, items: Sequence[tuple[str, str]]) -> None:
    """(asset, key). What is not there is gone already. Raises BadRequest. Blocks."""
    wanted: dict[str, set[str]] = {}
    for asset_id, key in items:
        wanted.setdefault(asset_id, set()).add(key)
    with services.database.session(durable=True) as session:
        require_owned(session, caller, list(wanted), "asset.update")
        for asset_id, keys in sorted(wanted.items()):
            assets.delete_metadata(session, asset_id, keys)
