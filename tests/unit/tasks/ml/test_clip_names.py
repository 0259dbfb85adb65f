"""Immich's names of CLIP models against open_clip's own list."""

import pytest

from tasks.ml.clip_names import DIMENSIONS, clip_model, needs_transformers, why_never_here
from tasks.ml.torchvision_operators import define_missing_operators

pytest.importorskip("torch")

NAMES = [name for names in DIMENSIONS.values() for name in names]


def test_names_are_read_as_immich_reads_them() -> None:
    model = clip_model("immich-app/ViT-B-32::openai")
    assert model is not None
    assert (model.name, model.dimensions) == ("ViT-B-32__openai", 512)
    assert (model.architecture, model.tag) == ("ViT-B-32-quickgelu", "openai")
    assert clip_model("ViT-B-32__nobody") is None
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_open_clip_has_the_model_with_these_dimensions_and_this_activation(name: str) -> None:
    model = clip_model(name)
    assert model is not None
    if model.architecture is None:
        assert name.startswith(("XLM-Roberta-Large-Vit-", "LABSE-"))  # of another library
        assert "M-CLIP" in why_never_here(name)
        return
    define_missing_operators()
    import open_clip

    config = open_clip.get_model_config(model.architecture)
    pretrained = open_clip.get_pretrained_cfg(model.architecture, model.tag)
    assert config is not None
    assert pretrained
    assert config["embed_dim"] == model.dimensions
    assert bool(config.get("quick_gelu")) == bool(pretrained.get("quick_gelu"))
    texts = config["text_cfg"]
    assert ("hf_model_name" in texts) == bool(why_never_here(name))
    if not why_never_here(name):
        assert ("hf_tokenizer_name" in texts) == needs_transformers(name)
