"""Two operators that torchvision names at its import and that its wheel does not bring beside a torch for CPUs."""

import threading
from typing import Any

_lock = threading.Lock()
_defined = False


def define_missing_operators() -> None:
    """Call this before the first import of torchvision, or of a library that imports it (open_clip, timm).

    Where torch is built for CUDA the wheel fits and nothing is done; nor where the operators exist. The schemas are
    torchvision's own; there is nothing behind them, since no model of ours suppresses boxes with it.
    """
    global _defined
    with _lock:
        if _defined:
            return
        import torch

        if torch.version.cuda is None:
            library: Any = vars(torch.library)["Library"]("torchvision", "FRAGMENT")  # torch leaves it untyped
            for name, schema in SCHEMAS.items():
                if not hasattr(torch.ops.torchvision, name):
                    library.define(schema)
            _kept.append(library)  # what it defined goes when it goes
        _defined = True


SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_kept: list[object] = []
