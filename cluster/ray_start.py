"""`ray start` without Ray's client server, which is for drivers outside the cluster: 50 MB that nobody here uses.

Ray leaves it out only where grpc is missing. This says so to Ray's own command; should the name below go away in a
later Ray, the server merely runs again.
"""

from ray.scripts import scripts


def no_client_server() -> ImportError:
    return ImportError("Ray's client server is not wanted here")


if __name__ == "__main__":
    vars(scripts)["get_ray_client_dependency_error"] = no_client_server
    scripts.cli()
