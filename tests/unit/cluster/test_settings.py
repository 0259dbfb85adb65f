"""The environment: Immich's names and defaults, every wrong variable named at once, and no password in sight."""

from ipaddress import ip_address
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from cluster.errors import SettingsInvalid
from cluster.settings import (
    NO_DATABASE,
    RAY_PORTS_PER_STACK,
    RayPort,
    Settings,
    misspelt,
    read_settings,
    strip_database_variables,
)

HOME = {"HOME": "/home/someone"}


def settings_of(**environ: str) -> Settings:
    return read_settings(HOME | environ)


def issues_of(**environ: str) -> dict[str, str]:
    with pytest.raises(SettingsInvalid) as caught:
        settings_of(**environ)
    return dict(caught.value.issues)


def test_an_empty_environment_gives_immichs_defaults_and_an_embedded_database() -> None:
    settings = settings_of()

    assert (settings.environment, settings.host, settings.port) == ("production", "0.0.0.0", 2283)
    assert settings.media_root == Path("/home/someone/heliostat-media")
    assert settings.database_url == "sqlite:////home/someone/heliostat-media/heliostat.db"
    assert (settings.log_level, settings.log_format, settings.no_color) == (None, "console", False)
    assert (settings.allow_setup, settings.process_invalid_images, settings.skip_migrations) == (True, False, False)
    assert settings.machine_learning_enabled
    assert settings.machine_learning_url == "http://immich-machine-learning:3003"
    assert (settings.num_cpus, settings.dashboard, settings.config_file) == (None, True, None)


def test_empty_values_count_as_unset() -> None:
    names = (
        "IMMICH_ENV",
        "IMMICH_HOST",
        "IMMICH_PORT",
        "IMMICH_MEDIA_LOCATION",
        "IMMICH_LOG_LEVEL",
        "DB_URL",
        "DB_PORT",
    )

    assert settings_of(**dict.fromkeys(names, "")) == settings_of()


def test_every_wrong_variable_is_named_in_one_message() -> None:
    with pytest.raises(SettingsInvalid) as caught:
        settings_of(IMMICH_PORT="many", IMMICH_MEDIA_LOCATION="photos", IMMICH_ENV="prod", DB_SSL_MODE="verify-ca")

    lines = str(caught.value).split("\n")
    assert lines[0] == "Invalid environment variables: "
    assert "  - [IMMICH_MEDIA_LOCATION] Must be an absolute path" in lines
    assert '  - [IMMICH_ENV] Invalid option: expected one of "development"|"testing"|"production"' in lines
    assert {line.split("]")[0] for line in lines[1:]} == {
        "  - [IMMICH_PORT",
        "  - [IMMICH_MEDIA_LOCATION",
        "  - [IMMICH_ENV",
        "  - [DB_SSL_MODE",
    }


@pytest.mark.parametrize("port", ["0", "65536", "-1", "2283.5", "1e3", "²"])
def test_a_port_is_a_whole_number_that_exists(port: str) -> None:
    assert issues_of(IMMICH_PORT=port) == {"IMMICH_PORT": "Must be a whole number from 1 to 65535"}


@pytest.mark.parametrize(
    ("text", "value"), [("no", False), ("OFF", False), ("Disabled", False), ("y", True), ("1", True)]
)
def test_booleans_take_the_usual_words(text: str, value: bool) -> None:
    assert settings_of(IMMICH_ALLOW_SETUP=text).allow_setup is value


def test_a_boolean_that_is_no_usual_word_is_refused() -> None:
    assert issues_of(IMMICH_ALLOW_SETUP="maybe")["IMMICH_ALLOW_SETUP"].startswith(
        'Invalid option: expected one of "true"'
    )


def test_two_switches_keep_immichs_looser_reading() -> None:
    assert settings_of(IMMICH_MACHINE_LEARNING_ENABLED="0").machine_learning_enabled
    assert not settings_of(IMMICH_MACHINE_LEARNING_ENABLED="false").machine_learning_enabled
    assert not settings_of(IMMICH_PROCESS_INVALID_IMAGES="1").process_invalid_images
    assert settings_of(IMMICH_PROCESS_INVALID_IMAGES="true").process_invalid_images


def test_trusted_proxies_default_to_private_networks_and_always_hold_this_machine() -> None:
    def trusts(settings: Settings, address: str) -> bool:
        return any(ip_address(address) in network for network in settings.trusted_proxies)

    default, listed = settings_of(), settings_of(IMMICH_TRUSTED_PROXIES="203.0.113.7, 198.51.100.0/24")

    assert trusts(default, "192.168.1.5")
    assert not trusts(default, "203.0.113.7")
    assert trusts(listed, "203.0.113.7")
    assert trusts(listed, "198.51.100.9")
    assert not trusts(listed, "192.168.1.5")
    assert trusts(listed, "127.0.0.1")
    assert issues_of(IMMICH_TRUSTED_PROXIES="proxy.local") == {
        "IMMICH_TRUSTED_PROXIES": "Must be an ip address or ip address range"
    }


def test_database_url_wins_over_parts_and_is_given_its_driver() -> None:
    settings = settings_of(
        DB_URL="postgres://me:p%40ss@db:5433/photos?sslmode=no-verify&uselibpqcompat=true", DB_PORT="1"
    )

    assert settings.database_url == "postgresql+psycopg://me:p%40ss@db:5433/photos?sslmode=require"
    assert settings_of(DB_URL="sqlite:////data/a.db").database_url == "sqlite:////data/a.db"


@pytest.mark.parametrize(
    "url", ["mysql://a:secret@b/c", "postgres://me:secret#1@db/x", "sqlite:///photos.db", "sqlite://", "secret"]
)
def test_a_wrong_database_url_is_refused_without_being_repeated(url: str) -> None:
    message = issues_of(DB_URL=url)["DB_URL"]

    assert message.startswith("Must ")
    assert "secret" not in message


def test_any_part_of_a_database_means_postgresql_with_immichs_defaults() -> None:
    assert (
        settings_of(DB_PASSWORD="p@ss/word").database_url
        == "postgresql+psycopg://postgres:p%40ss%2Fword@database:5432/immich"
    )
    everything = settings_of(
        DB_HOSTNAME="::1", DB_PORT="1", DB_USERNAME="u", DB_PASSWORD="p", DB_DATABASE_NAME="d", DB_SSL_MODE="require"
    )
    assert everything.database_url == "postgresql+psycopg://u:p@[::1]:1/d?sslmode=require"


def test_a_hostname_that_is_a_path_is_a_socket_folder() -> None:
    url = make_url(settings_of(DB_HOSTNAME="/run/postgresql", DB_PASSWORD="x").database_url)

    assert (url.host, url.query["host"], url.query["port"], url.database) == (None, "/run/postgresql", "5432", "immich")


def test_a_password_comes_from_a_file_that_wins_over_its_variable(tmp_path: Path) -> None:
    (tmp_path / "DB_PASSWORD").write_text("from file\n")
    named = settings_of(DB_PASSWORD_FILE=str(tmp_path / "DB_PASSWORD"), DB_PASSWORD="plain")
    found = settings_of(CREDENTIALS_DIRECTORY=str(tmp_path))

    assert make_url(named.database_url).password == "from file"
    assert found.database_url == named.database_url
    assert "DB_PASSWORD_FILE" in issues_of(DB_PASSWORD_FILE=str(tmp_path / "missing"))


def test_no_password_is_printed() -> None:
    settings = settings_of(DB_PASSWORD="correct horse")

    assert "correct" not in repr(settings)
    assert "correct" not in f"{settings}"


def test_a_node_without_the_api_gets_no_credentials_and_cannot_open_a_database(tmp_path: Path) -> None:
    (tmp_path / "DB_PASSWORD").write_text("secret")
    environ = HOME | {
        "DB_URL": "postgres://u:secret@h/d",
        "DB_PASSWORD_FILE": "/x",
        "CREDENTIALS_DIRECTORY": str(tmp_path),
        "PGPASSWORD": "secret",
    }

    stripped = strip_database_variables(environ)

    assert set(stripped) == {*HOME, NO_DATABASE[0]}
    with pytest.raises(SettingsInvalid, match="may not open the database"):
        _ = read_settings(stripped).database_url


def test_stacks_on_different_ports_share_neither_ports_nor_folders() -> None:
    ports = [*range(2000, 2700), 3283, 8080]
    stacks = [settings_of(IMMICH_PORT=str(port)) for port in ports]

    taken = [stack.ray_port_base // RAY_PORTS_PER_STACK for stack in stacks]
    assert len(set(taken[:700])) == 700
    assert len({stack.state_dir for stack in stacks}) == len(stacks)
    assert all(stack.ray_port_base + RAY_PORTS_PER_STACK <= 32_768 for stack in stacks)
    assert max(RayPort) < RAY_PORTS_PER_STACK


def test_no_stack_serves_on_one_of_its_own_ray_ports() -> None:
    for port in range(10_000, 33_000):
        base = settings_of(IMMICH_PORT=str(port)).ray_port_base
        assert not 0 <= port - base < RAY_PORTS_PER_STACK
    assert "HELIOSTAT_RAY_PORT_BASE" in issues_of(IMMICH_PORT="12005", HELIOSTAT_RAY_PORT_BASE="12000")


def test_the_state_folder_is_short_enough_for_rays_sockets() -> None:
    assert len(str(settings_of(IMMICH_MEDIA_LOCATION="/" + "long/" * 50).state_dir)) <= 38
    assert settings_of(HELIOSTAT_STATE_DIR="/run/helio").state_dir == Path("/run/helio")
    assert "HELIOSTAT_STATE_DIR" in issues_of(HELIOSTAT_STATE_DIR="/" + "x" * 38)


def test_variables_that_mean_nothing_here_are_accepted() -> None:
    assert (
        settings_of(REDIS_HOSTNAME="r", DB_VECTOR_EXTENSION="vectorchord", IMMICH_BUILD_DATA="/build") == settings_of()
    )


@pytest.mark.parametrize("text", ["20000", "20000-", "20000-20000", "20999-20000", "80-90", "a-b", "20000-70000"])
def test_a_range_of_ports_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SettingsInvalid, match="HELIOSTAT_WORKER_PORTS"):
        settings_of(HELIOSTAT_WORKER_PORTS=text)


@pytest.mark.parametrize("text", ["0.0.0.0", "::", "photos.example", "10.0.0"])
def test_an_address_for_other_machines_is_one_address(text: str) -> None:
    with pytest.raises(SettingsInvalid, match="HELIOSTAT_RAY_HOST"):
        settings_of(HELIOSTAT_RAY_HOST=text)


def test_a_wrong_worker_is_reported_beside_all_else_that_is_wrong() -> None:
    with pytest.raises(SettingsInvalid) as refused:
        read_settings({"IMMICH_PORT": "x", "IMMICH_WORKERS_INCLUDE": "foo"})
    assert [name for name, _ in refused.value.issues] == ["IMMICH_PORT", "IMMICH_WORKERS_INCLUDE"]


def test_a_misspelt_variable_of_ours_is_guessed_and_what_looks_like_none_of_them_is_let_pass() -> None:
    environ = {"HELIOSTAT_DASHBORD": "false", "HELIOSTAT_RAY_HOSTS": "", "HELIOSTAT_NUM_CPUS": "1"}
    others = {"HELIOSTAT_PASSWORD": "p", "HELIOSTAT_STACK": "/s", "HELIOSTAT_PORT_2283_TCP_ADDR": "10.0.0.1"}
    assert misspelt(environ | others | {"HELIOSTAT_SERVICE_PORT": "2283", "IMMICH_PROT": "1"}) == [
        "HELIOSTAT_DASHBORD is not known, did you mean HELIOSTAT_DASHBOARD?",
        "HELIOSTAT_RAY_HOSTS is not known, did you mean HELIOSTAT_RAY_HOST?",
    ]
