"""Texts as points on the cluster: a Serve deployment that keeps the model, and the handle with which the API asks it.

It stands beside the API, on nodes for machine learning; without anybody who searches it has no process and no memory.
"""

import asyncio
import logging
import os
from dataclasses import replace
from typing import Any

from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException

from cluster.errors import ModelUnavailable, Unavailable
from cluster.names import WorkerName
from cluster.settings import read_settings
from cluster.telemetry import configure_logging
from cluster.workers import worker_label
from serve_app.text_points import LocalTexts, Point, Text

log = logging.getLogger(__name__)

APPLICATION, DEPLOYMENT = "text-encoder", "TextEncoder"
AT_ONCE = 32
IDLE_S = 900.0
"""After which the model is let go; the next search waits some seconds for it."""
UNTIL_ANSWERED_S = 60.0


class TextEncoder:
    """Answers whoever asks at the same time in one go. It never waits for more: on a CPU, that gains nothing."""

    def __init__(self) -> None:
        configure_logging(read_settings(os.environ), "MachineLearning")
        self._texts = LocalTexts()

    @serve.batch(max_batch_size=AT_ONCE, batch_wait_timeout_s=0.0)
    async def __call__(self, texts: list[Text]) -> list[Point | ModelUnavailable]:
        return await asyncio.to_thread(self._points, texts)

    def _points(self, texts: list[Text]) -> list[Point | ModelUnavailable]:
        answers: dict[Text, Point | ModelUnavailable] = {}
        for wanted in {replace(text, words="") for text in texts}:
            same = [text for text in texts if replace(text, words="") == wanted]
            try:
                points = self._texts.points(wanted.model_folder, wanted.model, [text.words for text in same])
                answers |= dict(zip(same, points, strict=True))
            except ModelUnavailable as missing:  # a value, or it would reach the asker as an error of Ray's
                answers |= dict.fromkeys(same, missing)
        return [answers[text] for text in texts]


class RayTexts:
    """Asks the deployment; any process of the API may."""

    def __init__(self) -> None:
        self._handle: Any = None

    def point(self, text: Text) -> Point:
        if self._handle is None:
            self._handle = serve.get_deployment_handle(DEPLOYMENT, APPLICATION)
        try:
            answer = self._handle.remote(text).result(timeout_s=UNTIL_ANSWERED_S)
        except TimeoutError as error:
            said = f"the text encoder did not answer within {UNTIL_ANSWERED_S:.0f} s"
            raise Unavailable(f"{said}: does a node for machine learning run?") from error
        except (RayError, RayServeException) as error:
            log.exception("the text encoder failed")
            raise Unavailable("the text encoder failed; the log says why") from error
        if isinstance(answer, ModelUnavailable):
            raise answer
        point: Point = answer
        return point


def run_text_encoder() -> None:
    """Deploy it; returns before it is ready. Ray must be connected and Serve must run."""
    deployment: Any = serve.deployment(
        TextEncoder,
        name=DEPLOYMENT,
        max_ongoing_requests=4 * AT_ONCE,
        autoscaling_config={
            "min_replicas": 0,
            "initial_replicas": 0,
            "max_replicas": 4,
            "target_ongoing_requests": AT_ONCE,
            "upscale_delay_s": 1.0,
            "downscale_delay_s": IDLE_S,
        },
        graceful_shutdown_timeout_s=5,
        ray_actor_options={"num_cpus": 0, "label_selector": {worker_label(WorkerName.MACHINE_LEARNING): "true"}},
    )
    serve.run(deployment.bind(), name=APPLICATION, route_prefix=None, blocking=False)
