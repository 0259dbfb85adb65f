"""The system config: Immich's defaults and messages, what is stored of it, and the file that may stand in for it."""

import copy
import logging
from pathlib import Path
from typing import Any

import pytest

from cluster.config_values import check_cron
from cluster.errors import ConfigInvalid, SettingsInvalid
from cluster.names import SEQUENTIAL_QUEUES, QueueName
from cluster.settings import read_settings
from cluster.system_config import (
    SystemConfig,
    concurrency_of,
    defaults,
    differences,
    load_config_file,
    merge,
    to_wire,
    validate,
)

DEFAULTS = defaults(read_settings({"HOME": "/home/someone"}))


def changed(**values: object) -> dict[str, Any]:
    """The defaults on the wire, with `section__field=value` changed; a value of `...` takes the field away."""
    wire = copy.deepcopy(to_wire(DEFAULTS))
    for path, value in values.items():
        *sections, name = path.split("__")
        place = wire
        for section in sections:
            place = place[section]
        if value is ...:
            del place[name]
        else:
            place[name] = value
    return wire


def message_of(**values: object) -> tuple[str, str]:
    """The one issue with the defaults changed so: dotted path and message."""
    with pytest.raises(ConfigInvalid) as caught:
        validate(changed(**values))
    ((path, message),) = caught.value.issues
    return ".".join(path), message


def test_defaults_are_immichs() -> None:
    assert DEFAULTS.image.preview.size == 1440
    assert DEFAULTS.machine_learning.clip.model_name == "ViT-B-32__openai"
    assert DEFAULTS.machine_learning.urls == ["http://immich-machine-learning:3003"]
    assert DEFAULTS.storage_template.template == "{{y}}/{{y}}-{{MM}}-{{dd}}/{{filename}}"
    wire = to_wire(DEFAULTS)
    assert wire["ffmpeg"]["temporalAQ"] is False
    assert wire["metadata"]["faces"]["import"] is False
    assert wire["notifications"]["smtp"]["from"] == ""


def test_the_environment_chooses_the_defaults_of_machine_learning() -> None:
    environ = {"IMMICH_MACHINE_LEARNING_ENABLED": "false", "IMMICH_MACHINE_LEARNING_URL": "http://ml:1"}
    config = defaults(read_settings(environ))

    assert not config.machine_learning.enabled
    assert config.machine_learning.urls == ["http://ml:1"]


def test_the_wire_form_reads_back_the_same() -> None:
    assert validate(to_wire(DEFAULTS)) == DEFAULTS


@pytest.mark.parametrize(
    ("values", "path", "message"),
    [
        ({"trash__days": "x"}, "trash.days", "Invalid input: expected number, received string"),
        ({"trash__days": "5"}, "trash.days", "Invalid input: expected number, received string"),
        ({"trash__days": True}, "trash.days", "Invalid input: expected number, received boolean"),
        ({"trash__days": 1.5}, "trash.days", "Invalid input: expected int, received number"),
        ({"trash__days": ...}, "trash.days", "Invalid input: expected number, received undefined"),
        ({"trash": ...}, "trash", "Invalid input: expected object, received undefined"),
        ({"trash": []}, "trash", "Invalid input: expected object, received array"),
        ({"trash__enabled": "perhaps"}, "trash.enabled", "Invalid input: expected boolean, received string"),
        ({"trash__enabled": 1}, "trash.enabled", "Invalid input: expected boolean, received number"),
        ({"theme__customCss": None}, "theme.customCss", "Invalid input: expected string, received null"),
        (
            {"oauth__defaultStorageQuota": ""},
            "oauth.defaultStorageQuota",
            "Invalid input: expected number, received string",
        ),
        ({"image__colorspace": "cmyk"}, "image.colorspace", 'Invalid option: expected one of "srgb"|"p3"'),
        (
            {"ffmpeg__realtime__resolutions": [480, 481]},
            "ffmpeg.realtime.resolutions.1",
            "Invalid option: expected one of 480|720|1080|1440|2160",
        ),
        ({"user__deleteDelay": 0}, "user.deleteDelay", "Too small: expected number to be >=1"),
        ({"ffmpeg__crf": 52}, "ffmpeg.crf", "Too big: expected number to be <=51"),
        ({"ffmpeg__crf": "high"}, "ffmpeg.crf", "Invalid input: expected number, received string"),
        (
            {"machineLearning__ocr__minDetectionScore": 0.05},
            "machineLearning.ocr.minDetectionScore",
            "Too small: expected number to be >=0.1",
        ),
        ({"machineLearning__urls": []}, "machineLearning.urls", "Too small: expected array to have >=1 items"),
        ({"map__lightStyle": "style.json"}, "map.lightStyle", "Invalid URL"),
        ({"server__externalDomain": "photos"}, "server.externalDomain", "Invalid URL"),
        ({"storageTemplate__template": " "}, "storageTemplate.template", "Invalid storage template"),
        (
            {"nightlyTasks__startTime": "24:00"},
            "nightlyTasks.startTime",
            r"Invalid string: must match pattern /^(?:[01]\d|2[0-3]):[0-5]\d$/",
        ),
        (
            {"library__scan__cronExpression": "* *"},
            "library.scan.cronExpression",
            "Invalid cron expression. Expected 5 or 6 fields, received 2",
        ),
    ],
)
def test_a_wrong_field_is_named_in_zods_words(values: dict[str, object], path: str, message: str) -> None:
    assert message_of(**values) == (path, message)


def test_every_wrong_field_is_named_at_once() -> None:
    with pytest.raises(ConfigInvalid) as caught:
        validate(changed(trash__days=-1, user__deleteDelay=0))

    assert str(caught.value).split("\n") == [
        "Invalid system config: ",
        "  - [trash.days] Too small: expected number to be >=0",
        "  - [user.deleteDelay] Too small: expected number to be >=1",
    ]


def test_clients_may_write_numbers_and_booleans_loosely() -> None:
    config = validate(changed(ffmpeg__crf="28", ffmpeg__threads="2.0", trash__days=5.0, trash__enabled="false"))

    assert (config.ffmpeg.crf, config.ffmpeg.threads, config.trash.days, config.trash.enabled) == (28, 2, 5, False)


def test_progressive_may_be_left_out_and_unknown_keys_are_ignored() -> None:
    wire = changed(image__preview__progressive=..., image__novelty=1)

    assert validate(wire) == DEFAULTS


def test_only_differences_are_stored_and_they_merge_back() -> None:
    config = validate(changed(trash__days=5, ffmpeg__acceptedContainers=["mp4"], oauth__defaultStorageQuota=10))

    stored = differences(config, DEFAULTS)

    assert stored == {
        "trash": {"days": 5},
        "ffmpeg": {"acceptedContainers": ["mp4"]},
        "oauth": {"defaultStorageQuota": 10},
    }
    assert merge(DEFAULTS, stored) == config
    assert differences(DEFAULTS, DEFAULTS) == {}


def test_false_and_zero_are_choices_but_empty_texts_and_nulls_are_not() -> None:
    config = validate(changed(trash__enabled=False, trash__days=0, oauth__buttonText=""))

    assert differences(config, DEFAULTS) == {"trash": {"enabled": False, "days": 0}}
    assert merge(DEFAULTS, {"oauth": {"buttonText": ""}, "trash": None}) == DEFAULTS


def test_a_target_codec_counts_as_accepted_once_loaded() -> None:
    config = merge(DEFAULTS, {"ffmpeg": {"targetVideoCodec": "hevc", "targetAudioCodec": "mp3"}})

    assert config.ffmpeg.accepted_video_codecs == ["h264", "hevc"]
    assert config.ffmpeg.accepted_audio_codecs == ["aac", "mp3", "opus"]


def test_a_stored_value_that_is_wrong_is_logged_and_left_out(caplog: pytest.LogCaptureFixture) -> None:
    stored = {"trash": {"days": "soon", "enabled": False}, "user": 7, "machineLearning": {"urls": ["http://a", 5]}}

    config = merge(DEFAULTS, stored)

    assert (config.trash.days, config.trash.enabled, config.user.delete_delay) == (30, False, 7)
    assert config.machine_learning.urls == DEFAULTS.machine_learning.urls
    assert "trash.days" in caplog.text


def test_concurrency_is_configured_but_one_for_sequential_queues() -> None:
    config = merge(DEFAULTS, {"job": {"ocr": {"concurrency": 7}}})

    assert concurrency_of(config, QueueName.OCR) == 7
    assert concurrency_of(config, QueueName.METADATA_EXTRACTION) == 5
    assert {queue for queue in QueueName if concurrency_of(config, queue) >= 1} == set(QueueName)
    assert {concurrency_of(config, queue) for queue in SEQUENTIAL_QUEUES} == {1}


@pytest.mark.parametrize(
    "text", ["0 02 * * *", "*/5 * * * * *", "0 0 1,15 jan-jun MON-fri", "0-30/10 5/2 * * 7", "59 23 31 12 0"]
)
def test_cron_expressions_have_five_or_six_fields(text: str) -> None:
    assert check_cron(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "0 0 * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "*/0 * * * *", "1-0 * * * *",
     "1-2-3 * * * *", "a * * * *", "1, * * * *", "-1 * * * *", "* * * * * * *", "*/² * * * *"],
)  # fmt: skip
def test_wrong_cron_expressions_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^Invalid cron expression\. "):
        check_cron(text)


def load(tmp_path: Path, text: str, name: str = "immich.yaml") -> SystemConfig:
    path = tmp_path / name
    path.write_text(text)
    return load_config_file(path, DEFAULTS)


def test_a_config_file_lies_over_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path, "trash:\n  days: 3\noauth: {buttonText: ''}\n") == merge(DEFAULTS, {"trash": {"days": 3}})
    assert load(tmp_path, '{\t"trash": {"days": 3}}', "immich.json").trash.days == 3
    assert load(tmp_path, "") == DEFAULTS


def test_yaml_means_what_it_means_to_immich(tmp_path: Path) -> None:
    config = load(tmp_path, "nightlyTasks: {startTime: 12:30}\ntheme: {customCss: no}\nmap:\n")

    assert (config.nightly_tasks.start_time, config.theme.custom_css) == ("12:30", "no")
    assert config.map == DEFAULTS.map


def test_an_unknown_key_in_a_config_file_is_only_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert load(tmp_path, "trash: {dayz: 3}\nnovelty: 1") == DEFAULTS

    assert "trash.dayz, novelty" in caplog.text


def test_a_wrong_config_file_is_fatal(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=r"\[trash\.days\] Invalid input: expected number, received string"):
        load(tmp_path, "trash: {days: soon}")
    with pytest.raises(ConfigInvalid, match="expected object"):
        load(tmp_path, "- 1")
    for text, name in (("a: [", "immich.yaml"), ("{", "immich.json")):
        with pytest.raises(SettingsInvalid, match="IMMICH_CONFIG_FILE"):
            load(tmp_path, text, name)
    with pytest.raises(SettingsInvalid, match="IMMICH_CONFIG_FILE"):
        load_config_file(tmp_path / "missing.yaml", DEFAULTS)


def test_no_password_is_printed() -> None:
    wire = changed(oauth__clientSecret="tell nobody")
    wire["notifications"]["smtp"]["transport"]["password"] = "tell nobody"

    assert "nobody" not in repr(validate(wire))
