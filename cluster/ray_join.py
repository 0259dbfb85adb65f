"""How a process of ours joins the Ray of its own machine, and what the head tells those who want to join it.

`python -m cluster.ray_join HOST:PORT` asks the head and prints what it says, or in one line why it says nothing; the
command that supervises a node runs it, since it must not die with Ray.
"""

import json
import logging
import sys
from dataclasses import asdict

import ray
from ray._private import services
from ray._raylet import GcsClient  # type: ignore[attr-defined]  # it is compiled, without types
from ray.exceptions import AuthenticationError
from ray.experimental.internal_kv import _internal_kv_put

from cluster.joining import HEAD_SILENT, TOKEN_REFUSED, HeadFacts
from cluster.launch import NAMESPACE, head_address, ray_temp_dir
from cluster.settings import Settings

HEAD_KEY = b"head"
ANSWER_S = 10.0


def stay_on_loopback() -> None:
    """Take 127.0.0.1 at its word. Ray puts another address of the machine in its place, and then listens on all."""
    services.resolve_ip_for_localhost = lambda host: host


def join(settings: Settings, namespace: str = NAMESPACE) -> None:
    """Connect this process to the head that runs on this machine."""
    stay_on_loopback()
    ray.init(
        address=head_address(settings),
        namespace=namespace,
        log_to_driver=False,
        logging_level=logging.WARNING,
        # of several nodes on one machine, the head's
        _temp_dir=str(ray_temp_dir(settings)),
    )


def publish(facts: HeadFacts) -> None:
    """Tell nodes that want to join. Ray must be connected."""
    _internal_kv_put(HEAD_KEY, json.dumps(asdict(facts)).encode(), overwrite=True, namespace=NAMESPACE)


def head_facts(address: str) -> HeadFacts | None:
    """What the head at `address` (HOST:PORT) has published, None when that is nothing. Raises what Ray raises."""
    found = GcsClient(address=address).internal_kv_get(HEAD_KEY, NAMESPACE.encode(), timeout=ANSWER_S)
    return None if found is None else HeadFacts(**json.loads(found))


if __name__ == "__main__":
    try:
        facts = head_facts(sys.argv[1])
    except AuthenticationError:
        sys.exit(TOKEN_REFUSED)
    except Exception as error:
        print(f"{type(error).__name__}: {error}".splitlines()[0])
        sys.exit(HEAD_SILENT)
    print("" if facts is None else json.dumps(asdict(facts)))
