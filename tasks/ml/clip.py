"""CLIP: pictures and texts as points in one space, through open_clip. A process keeps one half of a model.

Weights come from a folder of their own, with the model's own description (`local-dir:`), and never from a hub. What a
node has decides how pictures are computed: see `Runtime`.
"""

import json
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cluster.errors import HeliostatError, ModelUnavailable
from tasks.ml.clip_names import clip_model
from tasks.ml.clip_pixels import RESAMPLING, View, pixels_of_file
from tasks.ml.picture import Pixels
from tasks.ml.torchvision_operators import define_missing_operators
from tasks.ml.weights import ModelKind, Weights, checked_weights, damaged

log = logging.getLogger(__name__)

Embeddings = NDArray[np.float32]

CONFIG = "open_clip_config.json"

ONNX_LARGEST_BYTES = 2_000_000_000
"""Its files end at two gibibytes; a larger tower is computed by torch."""
BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""What /proc/cpuinfo says of processors that multiply bfloat16 by themselves: Intel's, AMD's, Arm's."""


class Runtime(StrEnum):
    """What computes pictures. Texts are computed by torch everywhere, in the same numbers."""

    CUDA = "torch, float16 on a GPU"
    OPENVINO = "OpenVINO, bfloat16"
    BFLOAT16 = "torch, bfloat16"
    ONNX = "ONNX Runtime, float32"
    FLOAT32 = "torch, float32"


NUMBERS: Mapping[Runtime, str] = {
    Runtime.CUDA: "float16",
    Runtime.OPENVINO: "float32",
    Runtime.BFLOAT16: "bfloat16",
    Runtime.ONNX: "float32",
    Runtime.FLOAT32: "float32",
}
"""What the weights are read as. OpenVINO makes bfloat16 of them itself."""
PRECISION = {"float32": "fp32", "bfloat16": "pure_bf16", "float16": "pure_fp16"}
"""open_clip's words."""


def best_runtime() -> Runtime:
    """The fastest that this machine has. OpenVINO is an extra: whoever installed it wants it."""
    import torch

    if torch.cuda.is_available():
        return Runtime.CUDA
    if not has_bfloat16():
        return Runtime.ONNX
    return Runtime.OPENVINO if find_spec("openvino") else Runtime.BFLOAT16


def has_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor multiplies bfloat16 by itself; elsewhere it is slower than float32."""
    try:
        text = cpuinfo.read_text()
    except OSError:
        return False
    lines = (line for line in text.splitlines() if line.lower().startswith(("flags", "features")))
    return bool(BFLOAT16_FLAGS & set(next(lines, "").split()))


@dataclass(frozen=True, slots=True)
class ImageEncoder:
    """`compute`: pixels, uint8 (n, side, side, 3) → float32 (n, dimensions) of any length."""

    view: View
    compute: Callable[[Pixels], Embeddings]
    threads: int

    def embed(self, pixels: Pixels) -> Embeddings:
        """Points of unit length for uint8 (n, side, side, 3), as `clip_pixels` makes them."""
        return _unit(self.compute(pixels))

    def embed_files(self, paths: Sequence[Path]) -> list[NDArray[np.float32] | HeliostatError]:
        """One point per upright JPEG or WebP file, in order; in place of one that cannot be read, its error."""
        with ThreadPoolExecutor(self.threads) as executor:
            seen = list(executor.map(self._pixels_or_error, paths))
        read = [one for one in seen if not isinstance(one, HeliostatError)]
        points = iter(self.embed(np.stack(read)) if read else ())
        return [one if isinstance(one, HeliostatError) else next(points) for one in seen]

    def _pixels_or_error(self, path: Path) -> Pixels | HeliostatError:
        try:
            return pixels_of_file(path, self.view)
        except HeliostatError as error:
            return error


@dataclass(frozen=True, slots=True)
class TextEncoder:
    """`tokenize`: texts → a tensor (n, length of the context); `compute`: that → float32 (n, dimensions)."""

    tokenize: Callable[[list[str]], Any]
    compute: Callable[[Any], Embeddings]

    def embed(self, texts: Sequence[str]) -> Embeddings:
        """Points of unit length, one per text."""
        return _unit(self.compute(self.tokenize([" ".join(text.split()) for text in texts])))


def load_image_encoder(model_folder: Path, name: str, threads: int, runtime: Runtime | None = None) -> ImageEncoder:
    """`name`: Immich's; `threads`: how many it may use; `runtime`: unless the best one is wanted.

    Raises ModelUnavailable when weights are missing, damaged or another model's.
    """
    chosen = runtime or best_runtime()
    with _loading(name, Weights(ModelKind.CLIP, name).folder(model_folder)):
        model = _open_model(model_folder, name, threads, NUMBERS[chosen])
        view, module = _view(model.visual.preprocess_cfg), _from_pixels(model.visual)
        del model  # and with it the half that reads texts
        if chosen is Runtime.ONNX and not _fits_onnx(module):
            chosen = Runtime.FLOAT32
        compute = _COMPUTE[chosen](module, view, threads)
        # what is set up at first use is set up now
        _require_numbers(compute(np.zeros((1, view.side_px, view.side_px, 3), np.uint8)))
    log.info("%s embeds pictures with %s", name, chosen)
    return ImageEncoder(view, compute, threads)


def load_text_encoder(model_folder: Path, name: str, threads: int) -> TextEncoder:
    """As `load_image_encoder`, for texts."""
    runtime = best_runtime()
    numbers = "bfloat16" if runtime is Runtime.OPENVINO else NUMBERS[runtime]
    with _loading(name, Weights(ModelKind.CLIP, name).folder(model_folder)):
        model = _open_model(model_folder, name, threads, numbers)
        import torch

        tokenizer = _open_tokenizer(Weights(ModelKind.CLIP, name).folder(model_folder), name)
        del model.visual
        device = "cuda" if runtime is Runtime.CUDA else "cpu"
        model = model.to(device)
        encode = _encode_until_end if _ends_early(model) else type(model).encode_text

        def compute(tokens: Any) -> Embeddings:
            with torch.inference_mode():
                return _numbers(encode(model, tokens.to(device)))

        _require_numbers(compute(tokenizer(["a photo"])))
    return TextEncoder(tokenizer, compute)


@contextmanager
def _loading(name: str, folder: Path) -> Iterator[None]:
    """Whatever a file that is damaged, or another model's, makes the libraries raise becomes ModelUnavailable."""
    try:
        yield
    except (HeliostatError, ImportError):
        raise
    except Exception as error:
        raise damaged(name, folder, error) from error


def _require_numbers(points: Embeddings) -> None:
    if not np.isfinite(points).all():
        raise ValueError("what it answers are no numbers")


def _open_model(model_folder: Path, name: str, threads: int, numbers: str = "float32") -> Any:
    """An open_clip model, ready to be asked. Raises ModelUnavailable.

    It is made in the numbers that it works in before its weights are read: that takes two thirds of the memory.
    """
    weights = Weights(ModelKind.CLIP, name)
    checked_weights(model_folder, weights)
    define_missing_operators()
    import open_clip
    import torch

    torch.set_num_threads(threads)
    folder = weights.folder(model_folder)
    _check_description(folder, name)
    model: Any = open_clip.create_model(f"local-dir:{folder}", require_pretrained=True, precision=PRECISION[numbers])
    return model.eval().requires_grad_(False)


def _open_tokenizer(folder: Path, name: str) -> Any:
    import open_clip

    try:
        return open_clip.get_tokenizer(f"local-dir:{folder}")
    except Exception as error:  # those of other makers lack files, each in its own way
        fix = f"its tokenizer does not load ({error}): put its files there, or choose another model in the settings"
        raise ModelUnavailable(name, folder, fix) from error


def _check_description(folder: Path, name: str) -> None:
    """The folder has the model of that name, as far as its description tells, and its texts can be read here: without
    them pictures would be embedded in vain. Raises ModelUnavailable."""
    import open_clip

    known = clip_model(name)
    if known is None or known.architecture is None:
        raise ModelUnavailable(name, folder, "nothing here can run it, choose another in the settings")
    try:
        given = json.loads((folder / CONFIG).read_text())["model_cfg"]
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(name, folder / CONFIG, f"{type(error).__name__}: {error}") from error
    if given["text_cfg"].get("hf_tokenizer_name") and find_spec("transformers") is None:
        fix = (
            "its texts need the Python library transformers, which this node has not: `pip install transformers` on "
            "nodes for machine learning, or choose another model in the settings"
        )
        raise ModelUnavailable(name, folder, fix)
    if given["embed_dim"] != known.dimensions:
        fix = f"the files are another model's: they give {given['embed_dim']} numbers, it gives {known.dimensions}"
        raise ModelUnavailable(name, folder, fix)
    wanted: Any = open_clip.get_model_config(known.architecture)
    quick = bool(wanted.get("quick_gelu"))
    if given["vision_cfg"] == wanted["vision_cfg"] and bool(given.get("quick_gelu")) != quick:
        fix = f"{CONFIG} must say quick_gelu {str(quick).lower()}: it would load, and find nothing"
        raise ModelUnavailable(name, folder, fix)


def _view(preprocess: Mapping[str, Any]) -> View:
    """open_clip's preprocessing as ours. Raises KeyError for a kind that no known model has."""
    size = preprocess["size"]
    side_px = size if isinstance(size, int) else size[0]
    squash = {"shortest": False, "squash": True}[preprocess["resize_mode"]]
    return View(side_px, RESAMPLING[preprocess["interpolation"]], squash)


def _from_pixels(tower: Any) -> Any:
    """A module: uint8 (n, side, side, 3) → float32 (n, dimensions), whatever numbers the tower works in."""
    import torch

    class FromPixels(torch.nn.Module):
        def __init__(self, tower: Any) -> None:
            super().__init__()
            self.tower, self.numbers = tower, next(tower.parameters()).dtype
            std = torch.tensor(tower.preprocess_cfg["std"]).view(1, 3, 1, 1)
            self.register_buffer("scale", 1 / (255 * std))
            self.register_buffer("shift", torch.tensor(tower.preprocess_cfg["mean"]).view(1, 3, 1, 1) / std)

        def forward(self, pixels: Any) -> Any:
            values = pixels.permute(0, 3, 1, 2).float() * self.scale - self.shift
            return self.tower(values.to(self.numbers)).float()

    return FromPixels(tower).eval()


def _fits_onnx(module: Any) -> bool:
    size_bytes = sum(weight.numel() * weight.element_size() for weight in module.parameters())
    return bool(size_bytes < ONNX_LARGEST_BYTES)


def _with_torch(module: Any, view: View, threads: int, *, device: str = "cpu") -> Callable[[Pixels], Embeddings]:
    import torch

    module.to(device)

    def compute(pixels: Pixels) -> Embeddings:
        with torch.inference_mode():
            return _numbers(module(torch.from_numpy(pixels).to(device)))

    return compute


@contextmanager
def _plain_attention() -> Iterator[None]:
    """While this is open torch puts attention together from operators that others know."""
    import torch

    mha: Any = torch.backends.mha
    before = mha.get_fastpath_enabled()
    mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        mha.set_fastpath_enabled(before)


def _with_onnx(module: Any, view: View, threads: int) -> Callable[[Pixels], Embeddings]:
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    example = torch.zeros((1, view.side_px, view.side_px, 3), dtype=torch.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "tower.onnx"))
        names: dict[str, Any] = {"input_names": ["pixels"], "output_names": ["points"]}
        with torch.inference_mode(), _plain_attention(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch would rather use its newer exporter, which needs another library
            torch.onnx.export(module, (example,), path, dynamic_axes={"pixels": {0: "n"}}, dynamo=False, **names)
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def compute(pixels: Pixels) -> Embeddings:
        points: Embeddings = session.run(None, {"pixels": pixels})[0]
        return points

    return compute


def _with_openvino(module: Any, view: View, threads: int) -> Callable[[Pixels], Embeddings]:
    import openvino
    import torch

    example = torch.zeros((1, view.side_px, view.side_px, 3), dtype=torch.uint8)
    shape = (-1, view.side_px, view.side_px, 3)
    with torch.inference_mode(), _plain_attention():
        converted = openvino.convert_model(module, example_input=example, input=(shape, openvino.Type.u8))
    settings = {"INFERENCE_PRECISION_HINT": "bf16", "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(converted, "CPU", settings)

    def compute(pixels: Pixels) -> Embeddings:
        points: Embeddings = compiled(pixels)[0]
        return points

    return compute


_COMPUTE: Mapping[Runtime, Callable[[Any, View, int], Callable[[Pixels], Embeddings]]] = {
    Runtime.CUDA: partial(_with_torch, device="cuda"),
    Runtime.BFLOAT16: _with_torch,
    Runtime.ONNX: _with_onnx,
    Runtime.FLOAT32: _with_torch,
    Runtime.OPENVINO: _with_openvino,
}


def _ends_early(model: Any) -> bool:
    """Whether nothing after a text's end counts: each token sees those before it alone, and the end's is taken."""
    import open_clip

    return type(model) is open_clip.CLIP and model.attn_mask is not None and model.text_pool_type == "argmax"


def _encode_until_end(model: Any, tokens: Any) -> Any:
    """As `encode_text`, without the padding after the longest text: the same points for a third of the work."""
    import torch

    ends = tokens.argmax(dim=-1)
    length = int(ends.max()) + 1
    numbers = model.transformer.get_cast_dtype()
    states = model.token_embedding(tokens[:, :length]).to(numbers) + model.positional_embedding[:length].to(numbers)
    states = model.ln_final(model.transformer(states, attn_mask=model.attn_mask[:length, :length]))
    pooled = states[torch.arange(len(tokens), device=states.device), ends]
    projection = model.text_projection
    return projection(pooled) if isinstance(projection, torch.nn.Linear) else pooled @ projection


def _numbers(tensor: Any) -> Embeddings:
    numbers: Embeddings = tensor.float().cpu().numpy()
    return numbers


def _unit(points: Embeddings) -> Embeddings:
    lengths = np.linalg.norm(points.astype(np.float64), axis=1, keepdims=True)
    unit: Embeddings = (points / np.maximum(lengths, np.finfo(np.float32).tiny)).astype(np.float32)
    return unit
