"""What an admin sets, over HTTP, on both databases: kept as differences, refused with reasons, told to everyone."""

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from cluster.db.queries.events import events_above
from cluster.db.tables.system import SystemMetadata
from tests.api_client import ApiClient, api_client


@pytest.fixture
def admin(database_url: str, tmp_path: Path) -> Iterator[ApiClient]:
    with api_client(database_url, tmp_path / "media") as client:
        yield client.sign_up()


def stored(api: ApiClient) -> Any:
    with api.services.database.reader() as session:
        return session.scalar(select(SystemMetadata.value).where(SystemMetadata.key == "system-config"))


def changed(config: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with one value changed."""
    copy = deepcopy(config)
    *groups, last = path.split(".")
    place = copy
    for group in groups:
        place = place[group]
    place[last] = value
    return copy


def test_nobody_has_changed_anything_yet(admin: ApiClient) -> None:
    config = admin.get("/system-config").json()
    assert config == admin.get("/system-config/defaults").json()
    assert config["job"]["thumbnailGeneration"] == {"concurrency": 3}
    assert config["newVersionCheck"] == {"enabled": True, "channel": "stable"}


def test_what_is_saved_is_in_force_and_only_the_difference_is_kept(admin: ApiClient) -> None:
    config = admin.get("/system-config").json()
    wanted = changed(config, "job.ocr.concurrency", 4)
    answer = admin.put("/system-config", wanted)
    assert (answer.status_code, answer.json()) == (200, wanted)
    assert admin.get("/system-config").json() == wanted
    assert stored(admin) == {"job": {"ocr": {"concurrency": 4}}}
    assert admin.get("/system-config/defaults").json() == config
    admin.put("/system-config", config)
    assert stored(admin) == {}


def test_numbers_of_ffmpeg_may_be_texts(admin: ApiClient) -> None:
    config = admin.get("/system-config").json()
    answer = admin.put("/system-config", changed(config, "ffmpeg.crf", "28"))
    assert answer.json()["ffmpeg"]["crf"] == 28


def test_everyone_is_told_in_the_same_transaction(admin: ApiClient) -> None:
    config = admin.get("/system-config").json()
    admin.put("/system-config", changed(config, "trash.days", 7))
    assert admin.put("/system-config", changed(config, "trash.days", -1)).status_code == 400
    with admin.services.database.reader() as session:
        events = [(event.type, event.user_id) for event in events_above(session, 0, 10)]
    assert events == [("config_update", None)]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("job.ocr.concurrency", 0, "Too small: expected number to be >=1"),
        ("image.preview.format", "gif", 'Invalid option: expected one of "jpeg"|"webp"'),
        ("server.externalDomain", "photos", "Invalid URL"),
        ("trash.enabled", "maybe", "Invalid input: expected boolean, received string"),
    ],
)
def test_a_wrong_value_is_named_and_nothing_changes(admin: ApiClient, path: str, value: Any, message: str) -> None:
    config = admin.get("/system-config").json()
    answer = admin.put("/system-config", changed(config, path, value))
    assert (answer.status_code, answer.json()["message"]) == (400, "Validation failed")
    assert [(one["path"], one["message"]) for one in answer.json()["errors"]] == [(path.split("."), message)]
    assert stored(admin) is None


def test_a_part_is_not_the_whole(admin: ApiClient) -> None:
    answer = admin.put("/system-config", {"trash": {"enabled": True, "days": 30}})
    issues = {tuple(one["path"]): one["message"] for one in answer.json()["errors"]}
    assert answer.status_code == 400
    assert issues[("ffmpeg",)] == "Invalid input: expected object, received undefined"


def test_the_config_file_rules(admin: ApiClient, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("trash:\n  days: 3\n")
    ruled = admin.with_settings(config_file=file)
    config = ruled.get("/system-config").json()
    assert config["trash"]["days"] == 3
    assert ruled.get("/server/features").json()["configFile"] is True
    answer = ruled.put("/system-config", config)
    message = "Cannot update configuration while IMMICH_CONFIG_FILE is in use"
    assert (answer.status_code, answer.json()) == (400, {"message": message})


def test_the_environment_rules_over_logging(admin: ApiClient) -> None:
    ruled = admin.with_settings(log_level="debug")
    config = ruled.get("/system-config").json()
    answer = ruled.put("/system-config", changed(config, "logging.level", "warn"))
    message = "Logging cannot be changed while the environment variable IMMICH_LOG_LEVEL is set."
    assert (answer.status_code, answer.json()) == (400, {"message": message})
    assert ruled.put("/system-config", changed(config, "trash.days", 7)).status_code == 200
    assert admin.put("/system-config", changed(config, "logging.level", "warn")).status_code == 200


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("{{year}}/{{filename}}", "{{year}} is not known"),
        ("{{#if album}}{{filename}}", "{{#if}} is not ended by {{/if}}"),
        ("{{y}}/", "it names a folder and no file"),
        ("../../{{filename}}", "it leads out of the owner's folder"),
    ],
)
def test_a_storage_template_that_says_no_place_is_refused(admin: ApiClient, wrong: str, why: str) -> None:
    config = admin.get("/system-config").json()
    answer = admin.put("/system-config", changed(config, "storageTemplate.template", wrong))
    assert (answer.status_code, answer.json()["message"]) == (400, f"Invalid storage template: {why}")
    assert stored(admin) is None


def test_every_preset_of_the_storage_template_can_be_saved(admin: ApiClient) -> None:
    config = admin.get("/system-config").json()
    options = admin.get("/system-config/storage-template-options").json()
    assert options["monthOptions"] == ["M", "MM", "MMM", "MMMM"]
    assert options["hourOptions"] == ["h", "hh", "H", "HH"]
    presets = options["presetOptions"]
    assert len(presets) == len(set(presets)) == 21
    assert presets[0] == config["storageTemplate"]["template"]
    for preset in presets:
        assert admin.put("/system-config", changed(config, "storageTemplate.template", preset)).status_code == 200


def test_storage_template_options_are_for_admins(admin: ApiClient) -> None:
    assert admin.other_user().get("/system-config/storage-template-options").status_code == 403
