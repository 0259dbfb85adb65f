"""The server's sweep: what died attempts and uploads left goes after a day, what a row names stays."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cluster.storage.incoming import IncomingFile
from serve_app.bootstrap import sweep_files
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
