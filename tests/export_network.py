"""PyTorch to ONNX, in the numbers that insightface's loader looks for."""

import warnings
from pathlib import Path

import torch
from torch import Tensor


def export(
    model: torch.nn.Module, example: Tensor, path: Path, outputs: list[str], axes: dict[str, dict[int, str]]
) -> None:
    """Write the model as ONNX, as it is when it is not trained."""
    model.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (example,),
            path,
            dynamo=False,
            input_names=["input"],
            output_names=outputs,
            dynamic_axes=axes,
            opset_version=13,
        )
    model.train()
