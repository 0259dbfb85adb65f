"""Metrics as Prometheus reads them from a running server, and the dashboard that draws them."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from cluster.metrics import METRICS, Kind
from cluster.settings import RayPort, default_ray_port_base
from serve_app.client import sha1_hex
from tests.e2e.photos import make_photos
from tests.e2e.real_stack import RealStack, wait_until
from tests.shared_media import REPOSITORY

pytestmark = pytest.mark.timeout(300)

TOLD_S = 60
SERIES = re.compile(r"^([a-z_A-Z0-9]+)(?:\{(.*)\})? (\S+)$", re.M)
RARE = {"heliostat_loop_failures"}
"""Nothing fails in this test, and Ray shows no counter that nothing was added to."""


class Scrape:
    """What the node's port answers: name → (tags, value)."""

    def __init__(self, stack: RealStack) -> None:
        port = default_ray_port_base(stack.port) + RayPort.METRICS
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
        self.series: dict[str, list[tuple[dict[str, str], float]]] = {}
        for name, tags, value in SERIES.findall(text):
            self.series.setdefault(name, []).append((dict(re.findall(r'(\w+)="([^"]*)"', tags)), float(value)))

    def sum(self, name: str, **tags: str) -> float:
        return sum(value for found, value in self.series.get(name, []) if found.items() >= tags.items())


def queries() -> Iterator[tuple[str, str]]:
    dashboard: dict[str, Any] = json.loads((REPOSITORY / "cluster" / "grafana.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


def drawn_names() -> set[str]:
    return {name for _, query in queries() for name in re.findall(r"ray_\w+", query)}


def exported_as(name: str, kind: Kind) -> set[str]:
    match kind:
        case Kind.GAUGE:
            return {f"ray_{name}"}
        case Kind.COUNTER:
            return {f"ray_{name}_total"}
        case Kind.HISTOGRAM:
            return {f"ray_{name}_{part}" for part in ("bucket", "count", "sum")}


def test_an_import_shows_in_prometheus_and_the_dashboard_finds_all_it_draws(
    stack: RealStack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before = Scrape(stack).sum("ray_heliostat_jobs_total", job="AssetGenerateThumbnails", outcome="done")
    for path in make_photos(tmp_path_factory.mktemp("measured"), 3, seed=77, size=(640, 480)):
        stack.client.upload(path, sha1_hex(path))
    stack.wait_until_idle(120)

    def told() -> bool:
        done = Scrape(stack).sum("ray_heliostat_jobs_total", job="AssetGenerateThumbnails", outcome="done")
        return done == before + 3

    wait_until(told, TOLD_S, "three thumbnails in the metrics")
    scrape = Scrape(stack)
    missing = {
        name
        for metric in METRICS
        if metric.name not in RARE
        for name in exported_as(metric.name, metric.kind)
        if name not in scrape.series
    }
    assert not missing
    assert scrape.sum("ray_heliostat_api_request_seconds_count", route="/assets", method="POST", status="201") >= 3
    rare = {name for metric in METRICS if metric.name in RARE for name in exported_as(metric.name, metric.kind)}
    assert drawn_names() - rare <= scrape.series.keys(), "the dashboard asks for what nobody measures"


def test_the_dashboard_draws_every_metric_of_ours() -> None:
    undrawn = {metric.name for metric in METRICS if not exported_as(metric.name, metric.kind) & drawn_names()}
    assert undrawn == {"heliostat_loop_ticks"}
