"""Train the tiny CLIP of `data/models/clip`, through open_clip's own classes: python -m tests.train_clip [steps]

A ResNet sees 64 x 64 pixels, two layers read the text, both end in 512 numbers. One thread, some minutes. A batch
shows every kind of scene once, so that each picture has one caption that is right.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from tasks.ml.torchvision_operators import define_missing_operators
from tests.drawn_scenes import KINDS, captions, draw_scene

FOLDER = Path(__file__).parent / "data" / "models" / "clip" / "tiny"
SIDE = 64
MODEL = {
    "embed_dim": 512,
    "vision_cfg": {"image_size": SIDE, "layers": [1, 1, 1, 1], "width": 10, "head_width": 40, "patch_size": None},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
PREPROCESS = {
    "mean": [0.48145466, 0.4578275, 0.40821073],
    "std": [0.26862954, 0.26130258, 0.27577711],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}
EACH = 160
STEPS = 3000
TRAINED_ON, TESTED_ON = 1, 2
"""Seeds of scenes."""


def pictures(seed: int, each: int) -> NDArray[np.uint8]:
    """Shape (kinds, each, SIDE, SIDE, 3), as the model sees them: the middle square, scaled with bicubic."""
    random = np.random.default_rng(seed)
    seen = np.empty((len(KINDS), each, SIDE, SIDE, 3), np.uint8)
    for kind, (colour, shape) in enumerate(KINDS):
        for index in range(each):
            seen[kind, index] = np.asarray(middle_square(draw_scene(random, colour, shape)))
    return seen


def middle_square(picture: Image.Image) -> Image.Image:
    short = min(picture.size)
    left, top = (picture.width - short) // 2, (picture.height - short) // 2
    square = picture.crop((left, top, left + short, top + short))
    return square.resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def as_input(seen: NDArray[np.uint8]) -> torch.Tensor:
    """Shape (n, 3, SIDE, SIDE), normalised."""
    values = torch.from_numpy(seen.astype(np.float32) / 255)
    return ((values - torch.tensor(PREPROCESS["mean"])) / torch.tensor(PREPROCESS["std"])).permute(0, 3, 1, 2)


def train(steps: int) -> Any:
    define_missing_operators()
    import open_clip

    torch.manual_seed(0)
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    model = open_clip.CLIP(**MODEL)
    tokenizer = open_clip.SimpleTokenizer(context_length=77)
    words = torch.stack([tokenizer(captions(*kind)) for kind in KINDS])
    used = int(words.argmax(-1).max()) + 1  # nothing after the end token counts, and short is fast
    seen = pictures(TRAINED_ON, EACH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps, pct_start=0.1)
    loss_of = open_clip.ClipLoss()
    began_s = time.process_time()
    for step in range(steps):
        order = random.permutation(len(KINDS))
        batch = seen[order, random.integers(0, EACH, len(KINDS))]
        batch = batch[:, :, ::-1].copy() if step % 2 else batch
        text = words[order, random.integers(0, words.shape[1], len(KINDS))]
        image_features = model.encode_image(as_input(batch), normalize=True)
        text_features = encode_short(model, text, used)
        loss = loss_of(image_features, text_features, model.logit_scale.exp())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, 4.6052)
        if step % 200 == 0:
            print(f"step {step}: loss {loss.item():.3f}, {time.process_time() - began_s:.0f} CPU s", flush=True)
    return model.eval()


def encode_short(model: Any, text: torch.Tensor, length: int) -> torch.Tensor:
    """As `model.encode_text`, of the first `length` tokens."""
    x = model.token_embedding(text[:, :length]) + model.positional_embedding[:length]
    x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:length, :length]))
    x = x[torch.arange(len(x)), text.argmax(-1)] @ model.text_projection
    return torch.nn.functional.normalize(x, dim=-1)


def precision_at_10(model: Any) -> float:
    """Of scenes that training has not seen: the mean over all kinds, asked for as `colour shape`."""
    import open_clip

    each = 20
    seen = pictures(TESTED_ON, each).reshape(-1, SIDE, SIDE, 3)
    with torch.no_grad():
        images = model.encode_image(as_input(seen), normalize=True)
        tokens = open_clip.SimpleTokenizer(context_length=77)([f"{colour} {shape}" for colour, shape in KINDS])
        texts = model.encode_text(tokens, normalize=True)
    nearest = (texts @ images.T).topk(10).indices // each
    return float((nearest == torch.arange(len(KINDS))[:, None]).float().mean())


def save(model: Any) -> None:
    from safetensors.torch import save_file

    FOLDER.mkdir(parents=True, exist_ok=True)
    half = {name: value.half() if value.is_floating_point() else value for name, value in model.state_dict().items()}
    weights = {name: value.contiguous() for name, value in half.items()}
    save_file(weights, FOLDER / "open_clip_model.safetensors")
    config = {"model_cfg": MODEL, "preprocess_cfg": PREPROCESS}
    (FOLDER / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")


if __name__ == "__main__":
    trained = train(int(sys.argv[1]) if len(sys.argv) > 1 else STEPS)
    save(trained)
    print(f"precision@10 {precision_at_10(trained):.4f}")
