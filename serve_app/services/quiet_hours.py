"""Hours of the day in which queues start nothing, as admins set them."""

from cluster.db.queries import notes
from cluster.errors import BadRequest
from cluster.names import QueueName
from cluster.quiet_hours import parse_quiet_hours
from serve_app.deps import Caller, Services
from serve_app.services import audit


def quiet_hours(services: Services) -> dict[QueueName, str]:
    """`HH:MM-HH:MM` of the queues that have any."""
    with services.database.reader() as session:
        found = notes.read(session, notes.QUIET_HOURS) or {}
    return {QueueName(name): str(text) for name, text in found.items()}


def set_quiet_hours(services: Services, queue: QueueName, text: str, by: Caller) -> None:
    """Known to the controller within seconds; empty for none. Raises BadRequest."""
    try:
        hours = str(parse_quiet_hours(text)) if text else ""
    except ValueError as error:
        raise BadRequest(str(error)) from error
    with services.database.session(durable=True) as session:
        found = {**notes.read_locked(session, notes.QUIET_HOURS), queue.value: hours}
        notes.write(session, notes.QUIET_HOURS, {name: one for name, one in found.items() if one})
        audit.note(session, services, by, "quiet-hours", queue, hours or "none")
