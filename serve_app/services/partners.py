"""Shows somebody one's own timeline, ends that, and says whose one wants among one's own. Source: spec/openapi.json."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy.exc import IntegrityError

from cluster.db.queries import partners, users
from cluster.db.tables.partner import Partner
from cluster.db.tables.user import User
from cluster.errors import BadRequest
from serve_app.deps import Services
from serve_app.services.get_asset import no_access


@dataclass(frozen=True, slots=True)
class SeenPartner:
    """The other one of two partners."""

    user: User
    in_timeline: bool


def list_sharing_by(services: Services, user_id: str) -> list[SeenPartner]:
    """To whom the user shows theirs. Blocks."""
    with services.database.reader() as session:
        return _seen(partners.shared_by(session, user_id))


def list_sharing_with(services: Services, user_id: str) -> list[SeenPartner]:
    """Who shows the user theirs. Blocks."""
    with services.database.reader() as session:
        return _seen(partners.shared_with(session, user_id))


def create_partner(services: Services, user_id: str, other_id: str) -> SeenPartner:
    """From now on the other sees the user's timeline. Raises BadRequest. Blocks."""
    now = services.clock.now()
    try:
        with services.database.session(durable=True) as session:
            other = users.by_id(session, other_id)
            if other is None or other.deleted_at is not None or other_id == user_id:
                raise BadRequest("Invalid user")
            if partners.partner(session, user_id, other_id) is not None:
                raise BadRequest("Partner already exists")
            session.add(Partner(shared_by_id=user_id, shared_with_id=other_id, created_at=now, updated_at=now))
            session.flush()
            return SeenPartner(other, in_timeline=False)
    except IntegrityError as error:  # somebody else was first
        raise BadRequest("Partner already exists") from error


def remove_partner(services: Services, user_id: str, other_id: str) -> None:
    """The other sees it no more. Raises BadRequest. Blocks."""
    with services.database.session(durable=True) as session:
        found = partners.partner(session, user_id, other_id)
        if found is None:
            raise BadRequest("Partner not found")
        session.delete(found)


def update_partner(services: Services, user_id: str, other_id: str, *, in_timeline: bool) -> SeenPartner:
    """Whether the user wants what the other shows among their own. Raises BadRequest. Blocks."""
    with services.database.session(durable=True) as session:
        found, other = partners.partner(session, other_id, user_id), users.by_id(session, other_id)
        if found is None or other is None or other.deleted_at is not None:
            raise no_access("partner.update")
        found.in_timeline, found.updated_at = in_timeline, services.clock.now()
        return SeenPartner(other, in_timeline)


def _seen(found: Iterable[tuple[Partner, User]]) -> list[SeenPartner]:
    return [SeenPartner(user, partner.in_timeline) for partner, user in found]
