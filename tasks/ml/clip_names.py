"""The CLIP models that Immich knows, by its names: how many numbers each gives, and what open_clip calls it.

Source: spec/jobs-ml.md §4; open_clip's list of pretrained models.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tasks.ml.model_names import clean_name

DIMENSIONS: Mapping[int, tuple[str, ...]] = {
    512: (
        "RN101__openai",
        "RN101__yfcc15m",
        "ViT-B-16__laion400m_e31",
        "ViT-B-16__laion400m_e32",
        "ViT-B-16__openai",
        "ViT-B-32__laion2b-s34b-b79k",
        "ViT-B-32__laion2b_e16",
        "ViT-B-32__laion400m_e31",
        "ViT-B-32__laion400m_e32",
        "ViT-B-32__openai",
        "XLM-Roberta-Base-ViT-B-32__laion5b_s13b_b90k",
        "XLM-Roberta-Large-Vit-B-32",
    ),
    640: (
        "RN50x4__openai",
        "ViT-B-16-plus-240__laion400m_e31",
        "ViT-B-16-plus-240__laion400m_e32",
        "XLM-Roberta-Large-Vit-B-16Plus",
    ),
    768: (
        "LABSE-Vit-L-14",
        "RN50x16__openai",
        "ViT-B-16-SigLIP2__webli",
        "ViT-B-16-SigLIP-256__webli",
        "ViT-B-16-SigLIP-384__webli",
        "ViT-B-16-SigLIP-512__webli",
        "ViT-B-16-SigLIP-i18n-256__webli",
        "ViT-B-16-SigLIP__webli",
        "ViT-B-32-SigLIP2-256__webli",
        "ViT-L-14-336__openai",
        "ViT-L-14-quickgelu__dfn2b",
        "ViT-L-14__laion2b-s32b-b82k",
        "ViT-L-14__laion400m_e31",
        "ViT-L-14__laion400m_e32",
        "ViT-L-14__openai",
        "XLM-Roberta-Large-Vit-L-14",
        "nllb-clip-base-siglip__mrl",
        "nllb-clip-base-siglip__v1",
    ),
    1024: (
        "RN50__cc12m",
        "RN50__openai",
        "RN50__yfcc15m",
        "RN50x64__openai",
        "ViT-H-14-378-quickgelu__dfn5b",
        "ViT-H-14-quickgelu__dfn5b",
        "ViT-H-14__laion2b-s32b-b79k",
        "ViT-L-16-SigLIP2-256__webli",
        "ViT-L-16-SigLIP2-384__webli",
        "ViT-L-16-SigLIP2-512__webli",
        "ViT-L-16-SigLIP-256__webli",
        "ViT-L-16-SigLIP-384__webli",
        "ViT-g-14__laion2b-s12b-b42k",
        "XLM-Roberta-Large-ViT-H-14__frozen_laion5b_s13b_b90k",
    ),
    1152: (
        "ViT-SO400M-14-SigLIP2-378__webli",
        "ViT-SO400M-14-SigLIP2__webli",
        "ViT-SO400M-14-SigLIP-384__webli",
        "ViT-SO400M-16-SigLIP2-256__webli",
        "ViT-SO400M-16-SigLIP2-384__webli",
        "ViT-SO400M-16-SigLIP2-512__webli",
        "nllb-clip-large-siglip__mrl",
        "nllb-clip-large-siglip__v1",
    ),
    1536: ("ViT-gopt-16-SigLIP2-256__webli", "ViT-gopt-16-SigLIP2-384__webli"),
}

QUICK_GELU = frozenset(
    {
        *("RN101__openai", "RN101__yfcc15m", "RN50__cc12m", "RN50__openai", "RN50__yfcc15m"),
        *("RN50x16__openai", "RN50x4__openai", "RN50x64__openai"),
        *("ViT-B-16__openai", "ViT-B-32__openai", "ViT-L-14-336__openai", "ViT-L-14__openai"),
        *("ViT-B-32__laion400m_e31", "ViT-B-32__laion400m_e32"),
    }
)
"""Trained with another activation than open_clip gives an architecture of this name: it is called `…-quickgelu` there.
Without it these models load, answer, and find nothing."""


HUB_ALONE = ("xlm-roberta-", "nllb-")
"""How open_clip's names of architectures begin whose text half it makes by the description of another model."""


@dataclass(frozen=True, slots=True)
class ClipModel:
    """A model by Immich's name. `architecture` and `tag` are open_clip's; None: it is in another library's format."""

    name: str
    dimensions: int
    architecture: str | None
    tag: str | None


def clip_model(name: str) -> ClipModel | None:
    """The model of this name; None for one that Immich does not know."""
    return _MODELS.get(clean_name(name))


def why_never_here(name: str) -> str:
    """Why a model that Immich knows cannot run here, whatever lies in the model folder; `""`: it can."""
    model = clip_model(name)
    if model is None:
        return ""
    if model.architecture is None:
        return "it is in M-CLIP's format, which nothing here reads"
    if model.architecture.startswith(HUB_ALONE):
        return "the text half of it is described on a hub alone, and models are loaded from files here"
    return ""


def needs_transformers(name: str) -> bool:
    """Whether its words are cut by a tokenizer that the Python library transformers reads, which is not ours."""
    return "siglip" in clean_name(name).lower()


def _model(name: str, dimensions: int) -> ClipModel:
    architecture, _, tag = name.partition("__")
    if not tag:
        return ClipModel(name, dimensions, None, None)
    if architecture.startswith("XLM-Roberta"):
        head, _, tower = architecture.partition("-ViT")
        architecture = f"{head.lower()}-ViT{tower}"
    if name in QUICK_GELU:
        architecture += "-quickgelu"
    return ClipModel(name, dimensions, architecture, tag.replace("-", "_"))


_MODELS: Mapping[str, ClipModel] = {
    name: _model(name, dimensions) for dimensions, names in DIMENSIONS.items() for name in names
}
