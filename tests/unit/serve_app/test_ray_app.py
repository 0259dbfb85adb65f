"""Where the API of the first machine may run. That it does is seen on a whole cluster (`e2e/test_two_api_nodes.py`)."""

from types import SimpleNamespace
from typing import Any

import pytest


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Serve's, when it is imported
def test_the_api_runs_on_the_machine_of_its_driver_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from serve_app import ray_app

    asked: dict[str, Any] = {}

    def deployment(_api: Any, **options: Any) -> Any:
        asked.update(options)
        return SimpleNamespace(bind=lambda: None)

    def nothing(*_arguments: Any, **_options: Any) -> None:
        """Of Ray."""

    for name in ("join", "publish", "facts_here", "run_text_encoder"):
        monkeypatch.setattr(ray_app, name, nothing)
    monkeypatch.setattr("cluster.db.identity.identity_of", nothing)
    here = SimpleNamespace(get_node_id=lambda: "abc")
    monkeypatch.setattr(ray_app, "ray", SimpleNamespace(get_runtime_context=lambda: here))
    serve = SimpleNamespace(start=nothing, run=nothing, ingress=lambda _build: nothing, deployment=deployment)
    monkeypatch.setattr(ray_app, "serve", serve)

    ray_app.deploy()

    assert asked["ray_actor_options"]["label_selector"] == {"ray.io/node-id": "abc"}
