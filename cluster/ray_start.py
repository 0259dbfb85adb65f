"""`ray start`, with four things changed.

It runs without Ray's client server, which is for drivers outside the cluster: 50 MB that nobody here uses. Ray leaves
it out only where grpc is missing. This says so to Ray's own command; should the name below go away in a later Ray, the
server merely runs again. An address on loopback is taken as it is (`ray_join.py`). A machine whose labels in the
cluster's file and workers in its environment differ is refused, which else Ray would label as the file says. And
interrupts count also where a script started all this in its background, and has them ignored: calls are given up so.
"""

import os
import signal
import sys

from ray.scripts import scripts

from cluster.errors import HeliostatError
from cluster.joining import labels_of_node
from cluster.ray_join import stay_on_loopback


def no_client_server() -> ImportError:
    return ImportError("Ray's client server is not wanted here")


if __name__ == "__main__":
    try:
        labels_of_node(os.environ)
    except HeliostatError as error:
        sys.exit(str(error))
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    vars(scripts)["get_ray_client_dependency_error"] = no_client_server
    stay_on_loopback()
    scripts.cli()
