"""The environment, read once into one frozen `Settings`, with Immich's variable names.

An empty variable counts as unset. Everything that is wrong is reported at once. Variables of Immich that mean nothing
here (`REDIS_*`, `DB_VECTOR_EXTENSION`, `IMMICH_BUILD_DATA`, …) are accepted in silence. Source: spec/workers.md §3.

Where Immich has no name, or another machine's default, ours are:
- media root: `$HOME/heliostat-media` when `IMMICH_MEDIA_LOCATION` is unset; never relative, which would be one library
  per working directory
- database: `heliostat.db` in the media root when neither `DB_URL` nor a part of it is set
- `HELIOSTAT_STATE_DIR`: Ray's logs, sockets and spilled objects; `/tmp/hs-<hash>`, the hash being of user, media root
  and port
- `HELIOSTAT_RAY_PORT_BASE`: the first of 32 ports that Ray and HAProxy take; derived from `IMMICH_PORT`
- `HELIOSTAT_RAY_HOST`: this machine's address for the cluster's other machines; without one there are none, and Ray
  listens on loopback alone
- `HELIOSTAT_TOKEN_FILE`: the cluster's secret; `token` in the state folder
- `HELIOSTAT_NODE_NAME`: what Ray, and so everybody, calls this machine; its host name
- `HELIOSTAT_WORKER_PORTS`: from which Ray's worker processes take theirs; any that is free
- `HELIOSTAT_NUM_CPUS`, `HELIOSTAT_NUM_GPUS`: cores and GPUs that work may use; all of them
- `HELIOSTAT_CONTROLLERS`: how many controllers share the queues; more than one on PostgreSQL alone; 1
- `HELIOSTAT_AUTOSCALING_CONFIG`: a cluster's file, from which Ray's autoscaler on this machine starts others; none
- `HELIOSTAT_LEAVE_S`: seconds that `heliostat node`, told to stop, lets work end; 30
- `HELIOSTAT_STOP_S`: seconds that `heliostat up`, told to stop, lets work end; 5
- `HELIOSTAT_DASHBOARD`: whether Ray's dashboard runs; true
- `HELIOSTAT_VIDEO_SEARCH_FRAMES`: frames of a video that smart search looks at; 1, its preview
- `HELIOSTAT_UPLOAD_LIMIT_MB`: the most that one upload may bring, in 1,000,000 bytes; 0, which is no limit
- `HELIOSTAT_MODEL_FOLDER`: where models' weights lie; `models` in the media root
"""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import IntEnum
from hashlib import sha256
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Literal, TypeVar, get_args
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from cluster.errors import SettingsInvalid
from cluster.names import QueueName
from cluster.workers import node_duties

Environment = Literal["development", "testing", "production"]
LogLevel = Literal["verbose", "debug", "log", "warn", "error", "fatal"]
LogFormat = Literal["console", "json"]
SslMode = Literal["disable", "allow", "prefer", "require", "verify-full"]
Network = IPv4Network | IPv6Network
Choice = TypeVar("Choice", bound=str)

YES, NO = ("true", "1", "yes", "on", "y", "enabled"), ("false", "0", "no", "off", "n", "disabled")
LOOPBACK = tuple(map(ip_network, ("127.0.0.0/8", "::1/128")))
LINK_LOCAL_AND_PRIVATE = tuple(
    map(ip_network, ("169.254.0.0/16", "fe80::/10", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"))
)
DATABASE_PARTS = ("DB_HOSTNAME", "DB_PORT", "DB_USERNAME", "DB_PASSWORD", "DB_DATABASE_NAME", "DB_SSL_MODE")
VARIABLES_FROM_FILES = ("DB_URL", "DB_HOSTNAME", "DB_DATABASE_NAME", "DB_USERNAME", "DB_PASSWORD")
NO_DATABASE = ("HELIOSTAT_DATABASE", "none")
"""The variable and value that say: this process runs on a node that may not open the database."""

OURS, ALIKE = "HELIOSTAT_", 0.8
"""How our own variables begin, and how like one of them (1: the same) a name must be to be taken for it."""

STATE_DIR_MAX_BYTES = 25
"""HAProxy takes 97 for a socket's path, and Ray puts its own 72 characters below this folder."""

RAY_PORTS_PER_STACK = 32
_FIRST_RAY_PORT, _STACKS = 10_000, 709
# 10,000 to 32,687 lies above what other services like and below Linux's ephemeral ports (32,768 on); 709 is prime, so
# neighbouring and round port numbers (2283, 2284, 3283 …) never meet. Two of 65,535 must: then set the base by hand.


class RayPort(IntEnum):
    """What each port of a stack is for, as a distance from the base port. Replicas share `FIRST` … `LAST`."""

    HEAD = 0
    DASHBOARD = 1
    DASHBOARD_AGENT = 2
    DASHBOARD_AGENT_GRPC = 3
    RUNTIME_ENV_AGENT = 4
    NODE_MANAGER = 5
    OBJECT_MANAGER = 6
    METRICS = 7
    CLIENT_SERVER = 8
    HAPROXY_METRICS = 9
    HAPROXY_STATS = 10
    FALLBACK_PROXY = 11
    FALLBACK_PROXY_GRPC = 12
    GRPC = 13
    AUTOSCALER_METRICS = 14
    REPLICA_FIRST = 16
    REPLICA_LAST = 23
    REPLICA_GRPC_FIRST = 24
    REPLICA_GRPC_LAST = 31


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says. Paths are absolute. `num_cpus`, `num_gpus` None: as many as the machine has;
    `ray_host` None: as `launch.py` decides; `worker_ports`: first and last, None: any; `log_level` None: as the system
    config says; `leave_s`, `stop_s`: how long a further machine, and the first one, let work end when they are told
    to stop; `version_url` None: nobody is asked; `video_parts_from_s`: longer videos are encoded in parts, 0: none;
    `video_search_frames`: of a video, that smart search looks at, 1: its preview alone; `upload_limit_mb` 0:
    none. The include and exclude lists are raw: `workers.py` knows what they mean.
    """

    environment: Environment
    host: str
    port: int
    workers_include: str
    workers_exclude: str
    config_file: Path | None
    media_root: Path
    ignore_mount_check_errors: bool
    log_level: LogLevel | None
    log_format: LogFormat
    no_color: bool
    trusted_proxies: tuple[Network, ...]
    allow_setup: bool
    process_invalid_images: bool
    machine_learning_enabled: bool
    machine_learning_url: str
    database: str | None = field(repr=False)
    skip_migrations: bool
    state_dir: Path
    token_file: Path
    node_name: str
    num_cpus: int | None
    num_gpus: int | None
    ray_host: str | None
    ray_port_base: int
    worker_ports: tuple[int, int] | None
    controllers: int
    autoscaling_config: Path | None
    dashboard: bool
    leave_s: int
    stop_s: int
    version_url: str | None
    video_parts_from_s: int
    video_search_frames: int
    upload_limit_mb: int
    model_folder: Path

    @property
    def database_url(self) -> str:
        """In SQLAlchemy's form, password and all: never log it. Raises SettingsInvalid on a node without a database."""
        if self.database is None:
            raise SettingsInvalid([("DB_URL", "This node may not open the database: it is no api node")])
        return self.database

    def ray_port(self, port: RayPort) -> int:
        """The port of this stack that serves `port`."""
        return self.ray_port_base + port


def read_settings(environ: Mapping[str, str]) -> Settings:
    """The settings in `environ`; files that it names (`DB_PASSWORD_FILE` …) are read. Raises SettingsInvalid."""
    return _read(environ)[0]


def _read(environ: Mapping[str, str]) -> tuple[Settings, set[str]]:
    """The settings, and the names of all variables that were asked for."""
    issues: list[tuple[str, str]] = []
    read = _Reader(_with_file_contents(environ, issues), issues)
    port = read.integer("IMMICH_PORT", 2283, 1, 65_535)
    media_root = read.absolute_path("IMMICH_MEDIA_LOCATION") or read.home() / "heliostat-media"
    state_dir = _state_dir(read, media_root, port)
    settings = Settings(
        environment=read.choice("IMMICH_ENV", get_args(Environment)) or "production",
        host=read.text("IMMICH_HOST") or "0.0.0.0",  # noqa: S104 - unset means every interface, as in Immich
        port=port,
        workers_include=read.text("IMMICH_WORKERS_INCLUDE"),
        workers_exclude=read.text("IMMICH_WORKERS_EXCLUDE"),
        config_file=Path(path).absolute() if (path := read.text("IMMICH_CONFIG_FILE")) else None,
        media_root=media_root,
        ignore_mount_check_errors=read.boolean("IMMICH_IGNORE_MOUNT_CHECK_ERRORS", False),
        log_level=read.choice("IMMICH_LOG_LEVEL", get_args(LogLevel)),
        log_format=read.choice("IMMICH_LOG_FORMAT", get_args(LogFormat)) or "console",
        no_color=bool(read.text("NO_COLOR")),
        trusted_proxies=read.networks("IMMICH_TRUSTED_PROXIES", LINK_LOCAL_AND_PRIVATE),
        allow_setup=read.boolean("IMMICH_ALLOW_SETUP", True),
        process_invalid_images=read.text("IMMICH_PROCESS_INVALID_IMAGES") == "true",
        machine_learning_enabled=read.text("IMMICH_MACHINE_LEARNING_ENABLED") != "false",
        machine_learning_url=read.text("IMMICH_MACHINE_LEARNING_URL") or "http://immich-machine-learning:3003",
        database=_database(read, media_root),
        skip_migrations=read.boolean("DB_SKIP_MIGRATIONS", False),
        state_dir=state_dir,
        token_file=read.absolute_path("HELIOSTAT_TOKEN_FILE") or state_dir / "token",
        node_name=read.text("HELIOSTAT_NODE_NAME").strip() or socket.gethostname(),
        num_cpus=read.integer("HELIOSTAT_NUM_CPUS", 0, 1, 4096) or None,
        num_gpus=read.integer("HELIOSTAT_NUM_GPUS", 0, 0, 1024) if read.text("HELIOSTAT_NUM_GPUS").strip() else None,
        ray_host=read.address("HELIOSTAT_RAY_HOST"),
        ray_port_base=read.integer(
            "HELIOSTAT_RAY_PORT_BASE", default_ray_port_base(port), 1024, 65_536 - RAY_PORTS_PER_STACK
        ),
        worker_ports=read.port_range("HELIOSTAT_WORKER_PORTS"),
        controllers=read.integer("HELIOSTAT_CONTROLLERS", 1, 1, len(QueueName)),
        autoscaling_config=read.absolute_path("HELIOSTAT_AUTOSCALING_CONFIG"),
        dashboard=read.boolean("HELIOSTAT_DASHBOARD", True),
        leave_s=read.integer("HELIOSTAT_LEAVE_S", 30, 0, 86_400),
        stop_s=read.integer("HELIOSTAT_STOP_S", 5, 0, 3600),
        version_url=read.web_address("HELIOSTAT_VERSION_URL"),
        video_parts_from_s=read.integer("HELIOSTAT_VIDEO_PARTS_FROM_S", 60, 0, 86_400),
        video_search_frames=read.integer("HELIOSTAT_VIDEO_SEARCH_FRAMES", 1, 1, 64),
        upload_limit_mb=read.integer("HELIOSTAT_UPLOAD_LIMIT_MB", 0, 0, 100_000_000),
        model_folder=read.absolute_path("HELIOSTAT_MODEL_FOLDER") or media_root / "models",
    )
    if 0 <= port - settings.ray_port_base < RAY_PORTS_PER_STACK:
        issues.append(
            ("HELIOSTAT_RAY_PORT_BASE", f"Must leave IMMICH_PORT {port} out of its {RAY_PORTS_PER_STACK} ports")
        )
    if settings.controllers > 1 and (settings.database or "").startswith("sqlite:"):
        issues.append(("HELIOSTAT_CONTROLLERS", "Must be 1 on SQLite, where one process writes at a time"))
    try:
        node_duties(settings.workers_include, settings.workers_exclude)
    except SettingsInvalid as invalid:
        issues += invalid.issues
    if issues:
        raise SettingsInvalid(issues)
    return settings, read.asked


def misspelt(environ: Mapping[str, str]) -> list[str]:
    """Of each variable that begins as ours do, is none and looks like one, a line that says so. Others are let pass:
    Kubernetes gives a service's name, and so perhaps ours, to variables of its own."""
    known = {name.removeprefix(OURS) for name in _read({})[1] if name.startswith(OURS)}
    unknown = sorted(name.removeprefix(OURS) for name in environ if name.startswith(OURS))
    guesses = {name: get_close_matches(name, known, 1, ALIKE) for name in unknown if name not in known}
    return [f"{OURS}{name} is not known, did you mean {OURS}{likely[0]}?" for name, likely in guesses.items() if likely]


def default_ray_port_base(port: int) -> int:
    """Where the ports of the stack that serves on `port` begin; never around `port` itself."""
    base = _FIRST_RAY_PORT + port % _STACKS * RAY_PORTS_PER_STACK
    inside = 0 <= port - base < RAY_PORTS_PER_STACK
    return _FIRST_RAY_PORT + _STACKS * RAY_PORTS_PER_STACK if inside else base


def strip_database_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` for a node that is no api node: without any word of a database, and with a mark that says so."""
    return {name: value for name, value in environ.items() if not names_database(name)} | dict([NO_DATABASE])


def names_database(name: str) -> bool:
    """Whether a variable of this name may say where a database is: ours, PostgreSQL's own, or a folder of secrets."""
    return name.startswith(("DB_", "PG")) or name == "CREDENTIALS_DIRECTORY"


class _Reader:
    """Reads one variable at a time and notes what is wrong; a wrong one yields its default."""

    def __init__(self, environ: Mapping[str, str], issues: list[tuple[str, str]]) -> None:
        self.environ, self.issues = environ, issues
        self.asked: set[str] = set()

    def text(self, name: str) -> str:
        self.asked.add(name)
        return self.environ.get(name, "")

    def home(self) -> Path:
        return Path(self.text("HOME") or Path.home())

    def integer(self, name: str, default: int, least: int, most: int) -> int:
        text = self.text(name).strip()
        if not text:
            return default
        if text.isascii() and text.isdigit() and least <= int(text) <= most:
            return int(text)
        self.issues.append((name, f"Must be a whole number from {least} to {most}"))
        return default

    def boolean(self, name: str, default: bool) -> bool:
        text = self.text(name).strip().lower()
        return default if not text else self.choice(name, YES + NO, text) in YES

    def choice(self, name: str, choices: tuple[Choice, ...], given: str | None = None) -> Choice | None:
        text = self.text(name) if given is None else given
        for choice in choices:
            if text == choice:
                return choice
        if text:
            self.issues.append((name, "Invalid option: expected one of " + "|".join(f'"{one}"' for one in choices)))
        return None

    def absolute_path(self, name: str) -> Path | None:
        text = self.text(name)
        if text and not text.startswith("/"):
            self.issues.append((name, "Must be an absolute path"))
            return None
        return Path(os.path.normpath(text)) if text else None

    def address(self, name: str) -> str | None:
        """An address of this machine; one that stands for all of them is none that others can reach."""
        text = self.text(name).strip()
        try:
            if text and ip_address(text).is_unspecified:
                self.issues.append((name, "Must be the one address at which the other machines reach this one"))
        except ValueError:
            self.issues.append((name, "Must be an IP address of this machine"))
        return text or None

    def port_range(self, name: str) -> tuple[int, int] | None:
        """FIRST-LAST; two ports at least, since each worker process takes one."""
        text = "".join(self.text(name).split())
        if not text:
            return None
        first, _, last = text.partition("-")
        if first.isdecimal() and last.isdecimal() and 1024 <= int(first) < int(last) <= 65_535:
            return int(first), int(last)
        self.issues.append((name, "Must be two ports from 1024 to 65535 with a - between them: 20000-20999"))
        return None

    def web_address(self, name: str) -> str | None:
        text = self.text(name).strip()
        parts = urlsplit(text)
        if text and not (parts.scheme in ("http", "https") and parts.hostname):
            self.issues.append((name, "Must be a URL that begins with http:// or https://"))
            return None
        return text or None

    def networks(self, name: str, default: tuple[Network, ...]) -> tuple[Network, ...]:
        """Proxies on this machine are always trusted."""
        items = [item.strip() for item in self.text(name).split(",") if item.strip()]
        try:
            listed = tuple(ip_network(item, strict=False) for item in items)
        except ValueError:
            self.issues.append((name, "Must be an ip address or ip address range"))
            listed = ()
        return LOOPBACK + (listed or default)


def _with_file_contents(environ: Mapping[str, str], issues: list[tuple[str, str]]) -> dict[str, str]:
    """`environ` with what `X_FILE`, or a file X in `$CREDENTIALS_DIRECTORY`, says of X. A file wins over X itself."""
    result = dict(environ)
    credentials = environ.get("CREDENTIALS_DIRECTORY")
    for name in VARIABLES_FROM_FILES:
        path = Path(environ.get(f"{name}_FILE") or Path(credentials or "", name))
        if not environ.get(f"{name}_FILE") and not (credentials and path.exists()):
            continue
        try:
            result[name] = path.read_text().rstrip("\n")
        except (OSError, UnicodeDecodeError) as error:
            issues.append((f"{name}_FILE", f"Cannot read {path}: {getattr(error, 'strerror', None) or 'not text'}"))
    return result


def _database(read: _Reader, media_root: Path) -> str | None:
    """`DB_URL`, else PostgreSQL when any of its parts is given, else a file below the media root."""
    if read.text(NO_DATABASE[0]) == NO_DATABASE[1]:
        return None
    if url := read.text("DB_URL"):
        return _database_from_url(read, url)
    if any(read.text(name) for name in DATABASE_PARTS):
        return _database_from_parts(read)
    return f"sqlite:///{media_root / 'heliostat.db'}"


def _database_from_url(read: _Reader, url: str) -> str:
    """The messages leave the URL out: it carries a password."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        read.issues.append(("DB_URL", "Must be a URL; special characters in the password are written as %XX"))
        return ""
    match parts.scheme.partition("+")[0]:
        case "postgres" | "postgresql":
            return parts._replace(scheme="postgresql+psycopg", query=_libpq_query(parts.query)).geturl()
        case "sqlite" if not parts.netloc and parts.path.startswith("//"):
            return url
        case "sqlite":
            read.issues.append(("DB_URL", "Must name an absolute path: sqlite:////folder/file.db"))
        case _:
            read.issues.append(("DB_URL", "Must begin with postgres://, postgresql:// or sqlite:///"))
    return ""


def _libpq_query(query: str) -> str:
    """Immich's URLs are read by a Node driver; what only that driver knows is left out or said in libpq's words."""
    pairs = [(name, value) for name, value in parse_qsl(query) if name != "uselibpqcompat"]
    return urlencode([(name, "require" if value == "no-verify" else value) for name, value in pairs])


def _database_from_parts(read: _Reader) -> str:
    """PostgreSQL with Immich's defaults. A host that is a path is the folder of a Unix socket."""
    host = read.text("DB_HOSTNAME") or "database"
    port = read.integer("DB_PORT", 5432, 1, 65_535)
    user, password = read.text("DB_USERNAME") or "postgres", read.text("DB_PASSWORD") or "postgres"
    query = {"sslmode": ssl_mode} if (ssl_mode := read.choice("DB_SSL_MODE", get_args(SslMode))) else {}
    if host.startswith("/"):
        query, place = {"host": host, "port": str(port), **query}, ""
    else:
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    address = f"postgresql+psycopg://{quote(user, safe='')}:{quote(password, safe='')}@{place}"
    return f"{address}/{read.text('DB_DATABASE_NAME') or 'immich'}" + (f"?{urlencode(query)}" if query else "")


def _state_dir(read: _Reader, media_root: Path, port: int) -> Path:
    """Ray's logs, sockets and spilled objects of this stack, one folder per user, media root and port.

    Below /tmp and not `$XDG_RUNTIME_DIR`: that one is memory, and goes away when its user logs out.
    """
    mark = sha256(f"{os.getuid()}:{media_root}:{port}".encode()).hexdigest()[:12]
    state_dir = read.absolute_path("HELIOSTAT_STATE_DIR") or Path(f"/tmp/hs-{mark}")  # noqa: S108
    if len(os.fsencode(state_dir)) > STATE_DIR_MAX_BYTES:
        read.issues.append(
            (
                "HELIOSTAT_STATE_DIR",
                f"Must be at most {STATE_DIR_MAX_BYTES} bytes long: Ray's socket paths begin with it",
            )
        )
    return state_dir
