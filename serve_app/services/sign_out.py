"""Token in, session gone."""

from serve_app.deps import Caller, Services
from serve_app.services.sessions import end_session


def sign_out(services: Services, caller: Caller) -> None:
    """End the session that asks; an API key has none."""
    if caller.session_id is not None:
        end_session(services, caller.user_id, caller.session_id)
