"""Damaged weights on a real cluster: the queue waits and says which file, and whole ones start it again."""

from collections.abc import Callable
from pathlib import Path
from shutil import copyfile, copytree

import pytest

from tests.api_stack import free_port
from tests.e2e.real_stack import RealStack, real_stack, rows, wait_until
from tests.e2e.test_models import PATIENCE_S, QUEUE, leave_only_clip, upload_scenes
from tests.tiny_models import CLIP, TRAINED
from tests.weight_files import cut_short, garble

pytest.importorskip("torch")
pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

EACH = 4


@pytest.mark.parametrize("first", [garble, cut_short])
def test_damaged_weights_hold_their_queue_and_cost_no_attempt(first: Callable[[Path], None], tmp_path: Path) -> None:
    models, good = tmp_path / "models", TRAINED / "clip" / "tiny"
    copytree(good, CLIP.folder(models))
    weights = CLIP.folder(models) / "open_clip_model.safetensors"
    environ = {"IMMICH_MACHINE_LEARNING_ENABLED": "true", "HELIOSTAT_MODEL_FOLDER": str(models)}
    first(weights)
    with real_stack(free_port(), tmp_path / "stack", **environ) as stack:
        stack.sign_in()
        leave_only_clip(stack)
        # none of its processes has loaded it; then one has, whatever is done to the file
        for turn, spoil in enumerate((first, garble, cut_short)):
            spoil(weights)
            upload_scenes(stack, EACH, first=turn * EACH)
            wait_until(lambda: says_why(stack, weights), PATIENCE_S, "the queue to say what it waits for")
            assert rows(stack, "SELECT count(*) FROM smart_search") == [(turn * EACH,)]

            copyfile(good / weights.name, weights)
            stack.wait_until_idle(PATIENCE_S)
            assert rows(stack, "SELECT count(*) FROM smart_search") == [((turn + 1) * EACH,)]
        assert rows(stack, "SELECT count(*) FROM job_attempt") == [(0,)]
        assert stack.failed() == {}


def says_why(stack: RealStack, weights: Path) -> bool:
    queue = stack.queues()[QUEUE]
    return queue.is_held and str(weights.parent) in queue.wait_reason and "fetch or add" in queue.wait_reason
