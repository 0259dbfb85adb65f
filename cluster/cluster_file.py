"""Can Heliostat run on the cluster that a YAML file describes? (pure) Here is checked what Ray cannot know about it.

Ray's own checks come first (`ray_cluster_file.py`), so the shape of the file is known to be right. Its `prepared` fills
in Ray's defaults: a file without start commands is judged by the ones that Ray would run. Source: DESIGN.md §4, §7.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from cluster.errors import SettingsInvalid
from cluster.names import QueueName, WorkerName
from cluster.settings import RayPort, default_ray_port_base, names_database
from cluster.workers import OUR_LABELS, node_labels, queue_label, worker_label

Where = tuple[str | int, ...]
"""A place in the file: keys and list positions, from the top."""

TYPES = "available_node_types"
START_COMMANDS = START_OF_HEAD, START_OF_WORKERS = "head_start_ray_commands", "worker_start_ray_commands"
API_LABEL = worker_label(WorkerName.API)
TOKEN_FILE = "~/.ray/auth_token"  # noqa: S105 - where Ray looks for it
SSH_PORT, IMMICH_PORT = 22, 2283
WORKER_PORTS = (10_002, 19_999)
"""What `ray start` takes for its worker processes unless it is told."""
UP_NEEDS = {
    "HELIOSTAT_AUTOSCALING_CONFIG": ("no machine would ever be started", "$HOME/ray_bootstrap_config.yaml"),
    "HELIOSTAT_RAY_HOST": ("no machine could join", "$(hostname -I | cut -d' ' -f1)"),
    "HELIOSTAT_TOKEN_FILE": ("it would make a secret that no other machine has", "$HOME/.ray/auth_token"),
}
"""What `heliostat up` must be told on a head that Ray's launcher started, and what would be without."""
HERE_ALONE = ("127.0.0.1", "localhost", "::1")
EVERYBODY = ("0.0.0.0/0", "::/0")

_ASSIGNMENT = re.compile(r"""(?<![\w$-])([A-Za-z_]\w*)=("[^"]*"|'[^']*'|[^\s;&|"']*)""")
_PASSED_ON = re.compile(r"""(?<!\S)(?:-e|--env)[=\s]*["']?([A-Za-z_]\w*)""")
_CAPITALS = re.compile(r"[A-Z][A-Z0-9_]+")
_SUBSTITUTION = re.compile(r"\$\([^()]*\)")
_NEXT_COMMAND = re.compile(r"[;&|\n]+")
_RAY_START = re.compile(r"\bray(?:_start)?\s+start\b")
_HELIOSTAT_UP = re.compile(r"\bheliostat\s+up\b")
_PORT_OPTION = re.compile(r"--([a-z-]*port)[=\s]+(\d+)")
_DASHBOARD_HOST = re.compile(r"--dashboard-host[=\s]+(\S+)")
_HEAD_PORT = re.compile(r"--address[=\s]+\S*RAY_HEAD_IP\S*:(\d+)")
_VOLUME = re.compile(r"(?:^|\s)(?:-v|--volume)[=\s]*([^\s:]+):([^\s:]+)")
_BIND = re.compile(r"--mount[=\s]+(\S+)")
_MOUNTS = re.compile(r"\bmount(?:point)?\b")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: where it stands, what it is, what to do."""

    where: Where
    wrong: str
    cure: str


@dataclass(frozen=True, slots=True)
class Demand:
    """What one call of a job asks of a node of its queue."""

    job: str
    queue: QueueName
    cpus: float = 0.0
    gpus: float = 0.0
    memory_mb: int = 0


@dataclass(frozen=True)
class NodeType:
    """One node type. `most`: machines of it at once, beside those of others that are always there; `said`: every text
    that reaches its machines, with its place."""

    name: str
    is_head: bool
    labels: Mapping[str, str]
    resources: Mapping[str, float]
    most: int
    said: tuple[tuple[Where, str], ...]

    @cached_property
    def variables(self) -> dict[str, tuple[Where, str]]:
        """Every environment variable that is set for its machines, with its place. The last one wins."""
        found = ((where, match) for where, text in self.said for match in _ASSIGNMENT.finditer(text))
        return {match[1]: (where, match[2].strip("\"'")) for where, match in found}

    @property
    def where(self) -> Where:
        return (TYPES, self.name)

    @property
    def starts(self) -> list[tuple[Where, str]]:
        """The commands that start Ray there."""
        return [(where, text) for where, text in self.said if where[0] in START_COMMANDS and _RAY_START.search(text)]

    @property
    def runs_up(self) -> bool:
        """`heliostat up` starts Ray there: with the token, its own ports and the autoscaler that knows labels."""
        return any(where[0] == START_OF_HEAD and _HELIOSTAT_UP.search(text) for where, text in self.said)

    def ray_environment(self, command: str) -> dict[str, str]:
        """Variables that are set where one of `starts` starts Ray: the container's, and its own. Each command has a
        shell of its own, and what stands before another program in it is that program's."""
        docker = [text for where, text in self.said if "docker" in where]
        own: list[str] = []
        for part in _NEXT_COMMAND.split(_SUBSTITUTION.sub("", command)):
            if is_start := _RAY_START.search(part):
                own.append(part[: is_start.start()])
                break
            if part.split()[:1] == ["export"]:
                own.append(part)
        return {name: value.strip("\"'") for text in (*docker, *own) for name, value in _ASSIGNMENT.findall(text)}

    def value(self, variable: str) -> str:
        return self.variables[variable][1] if variable in self.variables else ""

    def serves(self, queue: QueueName) -> bool:
        return self.labels.get(queue_label(queue)) == "true"

    def has(self, demand: Demand) -> bool:
        """Whether one call fits. The autoscaler knows the CPUs and GPUs of the file alone; memory it finds out."""
        memory_mb = self.resources.get("memory", float("inf")) / 1024**2
        cpus, gpus = self.resources.get("CPU", 0), self.resources.get("GPU", 0)
        return demand.cpus <= cpus and demand.gpus <= gpus and demand.memory_mb <= memory_mb


def findings(config: Mapping[str, Any], demands: Sequence[Demand]) -> list[Finding]:
    """Everything that is wrong with a prepared `config`, once each. `demands`: of every job that needs a node."""
    if config["provider"]["type"] == "local":
        wrong = "Ray cannot label the machines that `local` lists: no job would find one"
        return [Finding(("provider", "type"), wrong, "name a provider that starts machines, such as aws")]
    types = node_types(config)
    found = [
        *_labels(types),
        *_queues(types),
        *_resources(types, demands),
        *_media(config, types),
        *_database(config, types),
        *_token(config, types),
        *_head(types),
        *_ports(types),
        *_security_group(config),
    ]
    return list(dict.fromkeys(found))


def node_types(config: Mapping[str, Any]) -> list[NodeType]:
    """Every node type with all that reaches its machines, in the order of the file."""
    head = config["head_node_type"]
    room = config["max_workers"] - sum(of_type.get("min_workers", 0) for of_type in config[TYPES].values())
    return [
        NodeType(
            name,
            name == head,
            of_type.get("labels", {}),
            of_type["resources"],
            1 if name == head else min(of_type["max_workers"], of_type.get("min_workers", 0) + room),
            tuple(_texts(config, _sections(config, name))),
        )
        for name, of_type in config[TYPES].items()
    ]


def _sections(config: Mapping[str, Any], name: str) -> list[Where]:
    """The lists of texts that reach a node type's machines, in the order in which they take effect.

    The head gets nothing of its own type but labels; another type's own lists replace the shared ones. Source: Ray's
    `autoscaler/_private/commands.py` and `v2/instance_manager/config.py`.
    """
    if name == config["head_node_type"]:
        docker: list[Where] = [("docker", "run_options"), ("docker", "head_run_options")]
        setup: list[Where] = [("initialization_commands",), ("setup_commands",), ("head_setup_commands",)]
        return [*docker, *setup, (START_OF_HEAD,)]
    own = config[TYPES][name]
    options = (TYPES, name, "docker") if "worker_run_options" in own.get("docker", {}) else ("docker",)
    first = (TYPES, name) if "initialization_commands" in own else ()
    shared: list[Where] = [("setup_commands",), ("worker_setup_commands",)]
    return [
        ("docker", "run_options"),
        (*options, "worker_run_options"),
        (*first, "initialization_commands"),
        *([(TYPES, name, "worker_setup_commands")] if "worker_setup_commands" in own else shared),
        (START_OF_WORKERS,),
    ]


def _texts(config: Mapping[str, Any], sections: Sequence[Where]) -> Iterator[tuple[Where, str]]:
    for section in sections:
        texts: Any = config
        for key in section:
            texts = texts.get(key) or {}
        for position, text in enumerate(texts):
            yield (*section, position), str(text)


def _labels(types: Sequence[NodeType]) -> Iterator[Finding]:
    """Labels that mean nothing here, or something else than the variables of the same machine."""
    for one in types:
        ours = {name: value for name, value in one.labels.items() if name.startswith(("worker/", "queue/"))}
        for name, value in ours.items():
            where = (*one.where, "labels", name)
            if name not in OUR_LABELS:
                yield Finding(where, "no worker and no queue has this name", "see cluster/README.md for the names")
            elif value != "true":
                yield Finding(where, f'the value is "{value}", and no job asks for that', 'write "true"')
        yield from _difference(one, {name for name in ours if name in OUR_LABELS})


def _difference(one: NodeType, labels: set[str]) -> Iterator[Finding]:
    include, exclude = one.value("IMMICH_WORKERS_INCLUDE"), one.value("IMMICH_WORKERS_EXCLUDE")
    if not include and not exclude:
        return
    where, _ = one.variables["IMMICH_WORKERS_INCLUDE" if include else "IMMICH_WORKERS_EXCLUDE"]
    try:
        meant = set(node_labels(include, exclude))
    except SettingsInvalid as error:
        for name, message in error.issues:
            yield Finding(where, f"{name}: {message}", "see cluster/README.md for the names")
        return
    said = " and ".join(f"{name}={value}" for name, value in _given(include, exclude))
    sides = [("lack", meant - labels), ("have too many:", labels - meant)]
    words = [f"{verb} {', '.join(sorted(names))}" for verb, names in sides if names]
    if words:
        wrong = f"the labels {' and '.join(words)}; {said} says otherwise"
        yield Finding((*one.where, "labels"), wrong, "change one or the other: a node whose two differ may not join")


def _given(include: str, exclude: str) -> list[tuple[str, str]]:
    both = [("IMMICH_WORKERS_INCLUDE", include), ("IMMICH_WORKERS_EXCLUDE", exclude)]
    return [(name, value) for name, value in both if value]


def _queues(types: Sequence[NodeType]) -> Iterator[Finding]:
    """Queues without a machine, and a head that is no api node."""
    for one in types:
        if one.is_head and one.labels.get(API_LABEL) != "true":
            wrong = f"the head has no label {API_LABEL}: API and controller would have no place"
            yield Finding((*one.where, "labels"), wrong, f'add {API_LABEL}: "true"')
    unserved = [queue for queue in QueueName if not any(one.serves(queue) for one in types)]
    if unserved:
        names = ", ".join(unserved)
        yield Finding(
            (TYPES,),
            f"no node type serves {names}: those jobs would wait for ever",
            f"give a node type the label {queue_label(unserved[0])} and add the name to its IMMICH_WORKERS_INCLUDE",
        )
    for one in types:
        alone = [q for q in QueueName if one.serves(q) and not any(o.most and o.serves(q) for o in types)]
        if alone:
            wrong = f"there may be no machine of this type, and no other serves {', '.join(alone)}"
            cure = "allow at least one, here and in max_workers at the top, beside all that min_workers keep"
            yield Finding((*one.where, "max_workers"), wrong, cure)


def _resources(types: Sequence[NodeType], demands: Sequence[Demand]) -> Iterator[Finding]:
    """Jobs that are larger than every machine of their queue."""
    for queue in QueueName:
        of_queue = [one for one in types if one.serves(queue)]
        large = [one for one in demands if one.queue is queue and not any(of_type.has(one) for of_type in of_queue)]
        if of_queue and large:
            names = ", ".join(one.name for one in of_queue)
            needs = ", ".join(f"{one.job} ({_size(one)})" for one in large)
            wrong = f"no node type that serves {queue} ({names}) has what a job needs: {needs}"
            yield Finding((*of_queue[0].where, "resources"), wrong, "raise the resources, or choose a larger machine")


def _size(demand: Demand) -> str:
    sizes = [(demand.cpus, "CPU"), (demand.gpus, "GPU"), (demand.memory_mb, "MB memory")]
    return ", ".join(f"{size:g} {unit}" for size, unit in sizes if size)


def _media(config: Mapping[str, Any], types: Sequence[NodeType]) -> Iterator[Finding]:
    """The media folder is the same path on every machine, reaches into the container, and is mounted on the host."""
    in_docker = bool((config.get("docker") or {}).get("container_name"))
    places: set[str] = set()
    for one in types:
        media = one.value("IMMICH_MEDIA_LOCATION")
        if not media:
            cure = "set it to the same path on every node type"
            yield Finding(one.where, "IMMICH_MEDIA_LOCATION is not set for these machines", cure)
            continue
        places.add(media)
        source = _source_of(one, media) if in_docker else media
        if source is None:
            wrong = f"the container has no mount for the media folder {media}"
            yield Finding(one.where, wrong, f"add -v {media}:{media} to the docker options that reach it")
        elif not any(_MOUNTS.search(text) and _names(text, source) for text in _commands_on_host(one, in_docker)):
            wrong = f"no command mounts {source} on the machine: its work would go into an empty folder and be lost"
            cure = f"add `mountpoint -q {source} || mount … {source}` to the initialization_commands that reach it"
            yield Finding(one.where, wrong, cure)
    if len(places) > 1:
        wrong = f"the media folder is not one path: {', '.join(sorted(places))}"
        yield Finding((TYPES,), wrong, "set IMMICH_MEDIA_LOCATION to the same path on every node type")


def _source_of(one: NodeType, media: str) -> str | None:
    """What lies at `media` in the container: the folder on the machine, None when nothing of it does."""
    options = " ".join(text for where, text in one.said if "docker" in where)
    mounts = [(match[1], match[2]) for match in _VOLUME.finditer(options)]
    for match in _BIND.finditer(options):
        words = dict(word.partition("=")[::2] for word in match[1].split(","))
        mounts.append((words.get("source", words.get("src", "")), words.get("target", words.get("dst", ""))))
    return next((source for source, target in mounts if PurePosixPath(media).is_relative_to(target or "//")), None)


def _commands_on_host(one: NodeType, in_docker: bool) -> list[str]:
    """In a container nothing can be mounted."""
    return [
        text
        for where, text in one.said
        if "initialization_commands" in where or (not in_docker and where[-2] not in START_COMMANDS)
    ]


def _names(text: str, path: str) -> bool:
    return bool(re.search(rf"(?<![\w./-]){re.escape(path.rstrip('/'))}(?![\w.-])", text))


def _database(config: Mapping[str, Any], types: Sequence[NodeType]) -> Iterator[Finding]:
    """The database's address on machines that may not open it."""
    without = [one for one in types if API_LABEL not in one.labels]
    given: dict[tuple[Where, str], list[str]] = {}
    for one in without:
        for where, text in one.said:
            told = [*(name for name, _ in _ASSIGNMENT.findall(text)), *_PASSED_ON.findall(text)]
            for variable in filter(names_database, dict.fromkeys(told)):
                given.setdefault((where, variable), []).append(one.name)
        for target, source in (config.get("file_mounts") or {}).items():
            for mounted in filter(names_database, dict.fromkeys(_CAPITALS.findall(f"{target} {source}"))):
                given.setdefault((("file_mounts", target), mounted), []).append(one.name)
    for (where, variable), names in given.items():
        wrong = f"{variable} reaches {', '.join(names)}, where nothing may open the database"
        yield Finding(where, wrong, "say it to api nodes alone, as docker.head_run_options does")


def _token(config: Mapping[str, Any], types: Sequence[NodeType]) -> Iterator[Finding]:
    """Without the token, whoever reaches one of Ray's ports runs what he likes."""
    for one in types:
        start = START_OF_HEAD if one.is_head else START_OF_WORKERS
        modes = [(where, one.ray_environment(text).get("RAY_AUTH_MODE", "")) for where, text in one.starts]
        for where, mode in () if one.runs_up else modes or [((start,), one.value("RAY_AUTH_MODE"))]:
            if mode == "token":
                continue
            wrong = f"Ray starts with RAY_AUTH_MODE={mode or '(unset)'}: whoever reaches its ports can run code there"
            yield Finding(where, wrong, "start it with RAY_AUTH_MODE=token")
        if "RAY_AUTH_TOKEN" in one.variables:
            wrong = "the cluster's secret stands in the file"
            yield Finding(one.variables["RAY_AUTH_TOKEN"][0], wrong, "put it in a file of mode 0600 and mount that")
    paths = {one.value("RAY_AUTH_TOKEN_PATH") or TOKEN_FILE for one in types}
    targets = [PurePosixPath(target) for target in config.get("file_mounts") or {}]
    for path in sorted(paths):
        if not any(PurePosixPath(path).is_relative_to(target) for target in targets):
            wrong = f"no mount brings the secret {path} to the machines: none could join"
            yield Finding(("file_mounts",), wrong, f'add "{path}": "{TOKEN_FILE}"; `ray get-auth-token --generate`')


def _head(types: Sequence[NodeType]) -> Iterator[Finding]:
    """A head without the autoscaler that knows labels, or that keeps the machines out."""
    for one in types:
        if one.runs_up:
            for variable, (without, value) in UP_NEEDS.items():
                if not one.value(variable):
                    wrong = f"{variable} is not set on the head: {without}"
                    yield Finding((START_OF_HEAD,), wrong, f"write {variable}={value} before `heliostat up`")
        elif one.is_head and one.value("RAY_enable_autoscaler_v2") != "1":
            wrong = "Ray's first autoscaler would run, which does not know labels"
            yield Finding((START_OF_HEAD,), wrong, "start the head with RAY_enable_autoscaler_v2=1")


def _ports(types: Sequence[NodeType]) -> Iterator[Finding]:
    """Ports that everybody reaches, that two things want, or that nobody listens on."""
    starts_of_head = [text for one in types if one.is_head for _, text in one.starts]
    head_ports = [int(port) for text in starts_of_head for name, port in _PORT_OPTION.findall(text) if name == "port"]
    head_ports += [default_ray_port_base(_immich_port(one)) + RayPort.HEAD for one in types if one.runs_up]
    for one in types:
        for where, text in one.starts:
            host = _DASHBOARD_HOST.search(text)
            if host and host[1] not in HERE_ALONE:
                wrong = f"the dashboard listens on {host[1]}: it runs code for whoever reaches it"
                yield Finding(where, wrong, "write --dashboard-host=127.0.0.1 and use `ray dashboard`")
            asked = _HEAD_PORT.search(text)
            if asked and head_ports and int(asked[1]) not in head_ports:
                wrong = f"the workers look for the head at port {asked[1]}, it listens on {head_ports[-1]}"
                yield Finding(where, wrong, f"write the port of {START_OF_HEAD}")
            yield from _shared_ports(where, text, _immich_port(one))


def _shared_ports(where: Where, text: str, immich_port: int) -> Iterator[Finding]:
    pinned = {f"--{name}": int(port) for name, port in _PORT_OPTION.findall(text) if int(port)}
    first = pinned.pop("--min-worker-port", 0 if "--min-worker-port" in text else WORKER_PORTS[0])
    last = pinned.pop("--max-worker-port", 0 if "--max-worker-port" in text else WORKER_PORTS[1])
    taken = {immich_port: "IMMICH_PORT"}
    for option, port in pinned.items():
        if port in taken:
            yield Finding(where, f"{option} and {taken[port]} are both {port}", "give each a port of its own")
        taken.setdefault(port, option)
    if inside := [f"{option}={port}" for option, port in pinned.items() if first <= port <= last]:
        wrong = f"Ray's worker processes take the ports {first} to {last}, among them {', '.join(inside)}"
        yield Finding(where, wrong, "write --min-worker-port=0 --max-worker-port=0 for any free port, or another range")


def _immich_port(one: NodeType) -> int:
    text = one.value("IMMICH_PORT")
    return int(text) if text.isdecimal() else IMMICH_PORT


def _security_group(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Rules of an AWS security group that let the whole internet in, to anything but SSH."""
    rules = (config["provider"].get("security_group") or {}).get("IpPermissions") or []
    for position, rule in enumerate(rules):
        ranges = [*(rule.get("IpRanges") or []), *(rule.get("Ipv6Ranges") or [])]
        where = ("provider", "security_group", "IpPermissions", position)
        named = {name: rule[name] for name in ("FromPort", "ToPort") if name in rule}
        if wrong := [f"{name}: {port}" for name, port in named.items() if not isinstance(port, int)]:
            yield Finding(where, f"{' and '.join(wrong)} is no port", "write a number")
            continue
        first, last = named.get("FromPort", 0), named.get("ToPort", 65_535)
        if (first, last) != (SSH_PORT, SSH_PORT) and any(
            one.get("CidrIp", one.get("CidrIpv6")) in EVERYBODY for one in ranges
        ):
            ports = f"port {first} is" if first == last else f"the ports {first} to {last} are"
            cure = "name your own network; the machines reach each other without a rule, the API speaks plain HTTP"
            yield Finding(where, f"{ports} open to the whole internet", cure)
