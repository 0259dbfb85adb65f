"""The server's sweep: what died attempts and uploads left goes after a day, old lines of what admins did go too, and
what a row names stays."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cluster.db.queries import admin_actions
from cluster.storage.incoming import IncomingFile
from serve_app.bootstrap import prune_actions, sweep_files
from serve_app.services import audit
from tests.api_stack import api_stack
from tests.fake_clock import FakeClock


def test_leftovers_of_uploads_and_attempts_go_after_a_day(database_url: str, tmp_path: Path) -> None:
    with api_stack(database_url, tmp_path / "media") as stack:
        user = stack.add_person().user_id
        upload = IncomingFile(stack.services.layout, user, uuid.uuid4(), ".jpg")
        upload.write(b"half a photo")
        upload.leave()
        stray = stack.services.layout.thumbnail_path(user, uuid.uuid4(), "preview", "jpeg")
        stray = stray.with_name(f"{stray.name}.0123456789abcdef")
        stray.parent.mkdir(parents=True)
        stray.write_bytes(b"an attempt that died")
        now = datetime.now(UTC)

        assert sweep_files(replace(stack.services, clock=FakeClock(now))) == 0
        assert sweep_files(replace(stack.services, clock=FakeClock(now + timedelta(days=2)))) == 2

        assert stack.uploaded_files() == []
        assert not stray.exists()


def test_the_oldest_lines_of_what_admins_did_go_first(database_url: str, tmp_path: Path) -> None:
    with api_stack(database_url, tmp_path / "media") as stack:
        user, now = stack.add_person().user_id, datetime.now(UTC)
        with stack.services.database.session() as session:
            for days in (3, 2, 1, 0):
                admin_actions.add(session, now - timedelta(days=days), user, "Ada", "pause", f"{days} days ago", "")

        assert prune_actions(stack.services, now - timedelta(hours=12), 2) == 2
        assert [line.subject for line in audit.list_actions(stack.services)] == ["0 days ago", "1 days ago"]
        assert prune_actions(stack.services, now - timedelta(hours=12), 2) == 1
        assert prune_actions(stack.services, now - timedelta(hours=12), 2) == 0
