"""The tiny CLIP through the real loaders: what it finds, on each runtime, what it says of bad files."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cluster.errors import ModelUnavailable, SourceMissing, UnreadableImage
from tasks.ml import clip
from tasks.ml.clip import (
    ImageEncoder,
    Runtime,
    TextEncoder,
    best_runtime,
    has_bfloat16,
    load_image_encoder,
    load_text_encoder,
)
from tasks.ml.clip_pixels import View, pixels_of_file
from tests.drawn_scenes import KINDS, scenes
from tests.figures import FIGURES
from tests.tiny_models import CLIP, put_clip
from tests.weight_files import cut_short, garble, safetensors

torch = pytest.importorskip("torch")

EACH = 15
BICUBIC = View(224, Image.Resampling.BICUBIC, squash=False)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    put_clip(folder)
    return folder


@pytest.fixture(scope="module", params=[Runtime.BFLOAT16, Runtime.ONNX])
def images(request: pytest.FixtureRequest, models: Path) -> ImageEncoder:
    return load_image_encoder(models, CLIP.name, 1, request.param)


@pytest.fixture(scope="module")
def texts(models: Path) -> TextEncoder:
    return load_text_encoder(models, CLIP.name, 1)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """`EACH` scenes of every kind, in the order of kinds, which training has not seen."""
    folder, paths = tmp_path_factory.mktemp("scenes"), []
    for index, (_, _, picture) in enumerate(scenes(seed=3, each=EACH)):
        paths.append(folder / f"{index}.jpg")
        picture.save(paths[-1], quality=85)
    return [path for kind in range(len(KINDS)) for path in paths[kind :: len(KINDS)]]


def test_every_kind_of_scene_is_found_by_its_name(images: ImageEncoder, texts: TextEncoder, drawn: list[Path]) -> None:
    pictures = np.stack([np.asarray(one) for one in images.embed_files(drawn)])
    asked = texts.embed([f"{colour} {shape}" for colour, shape in KINDS])

    nearest = np.argsort(-(asked @ pictures.T), axis=1)[:, :10] // EACH
    precision = (nearest == np.arange(len(KINDS))[:, None]).mean(axis=1)

    FIGURES.append(
        f"tiny CLIP: precision@10 over {len(KINDS)} queries: mean {precision.mean():.3f}, least {precision.min()}"
    )
    assert precision.mean() > 0.97
    assert precision.min() >= 0.7
    assert np.linalg.norm(pictures, axis=1) == pytest.approx(1, abs=1e-5)


def test_runtimes_agree(models: Path, drawn: list[Path], images: ImageEncoder) -> None:
    pixels = np.stack([pixels_of_file(path, images.view) for path in drawn[::EACH]])
    others = load_image_encoder(models, CLIP.name, 1, Runtime.ONNX).embed(pixels)
    assert (images.embed(pixels) * others).sum(axis=1).min() > 0.99  # bfloat16 has three digits


@pytest.mark.parametrize("runtime", [Runtime.BFLOAT16, Runtime.ONNX])
def test_runtimes_agree_on_a_transformer(tmp_path: Path, runtime: Runtime) -> None:
    clip.define_missing_operators()
    import open_clip
    from safetensors.torch import save_file

    described = {
        "embed_dim": 512,
        "quick_gelu": True,
        "vision_cfg": {"image_size": 64, "layers": 2, "width": 128, "patch_size": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 1},
    }
    folder = CLIP.folder(tmp_path)
    folder.mkdir(parents=True)
    torch.manual_seed(1)
    save_file(open_clip.CLIP(**described).state_dict(), folder / "open_clip_model.safetensors")
    preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    (folder / clip.CONFIG).write_text(json.dumps({"model_cfg": described, "preprocess_cfg": preprocess}))

    pixels = np.random.default_rng(1).integers(0, 255, (5, 64, 64, 3), np.uint8)
    points = load_image_encoder(tmp_path, CLIP.name, 1, runtime).embed(pixels)
    exact = load_image_encoder(tmp_path, CLIP.name, 1, Runtime.FLOAT32).embed(pixels)
    assert (points * exact).sum(axis=1).min() > 0.999


def test_openvino_agrees_where_it_is_installed(models: Path, drawn: list[Path], images: ImageEncoder) -> None:
    pytest.importorskip("openvino")
    pixels = np.stack([pixels_of_file(path, images.view) for path in drawn[::EACH]])
    others = load_image_encoder(models, CLIP.name, 1, Runtime.OPENVINO).embed(pixels)
    assert (images.embed(pixels) * others).sum(axis=1).min() > 0.99


def test_a_tower_that_is_too_large_for_onnx_is_left_to_torch(
    models: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(clip, "ONNX_LARGEST_BYTES", 1000)
    with caplog.at_level("INFO", logger="tasks"):
        load_image_encoder(models, CLIP.name, 1, Runtime.ONNX)
    assert f"embeds pictures with {Runtime.FLOAT32}" in caplog.text


def test_a_picture_that_does_not_decode_fails_alone(images: ImageEncoder, drawn: list[Path], tmp_path: Path) -> None:
    broken, gone = tmp_path / "broken.jpg", tmp_path / "gone.jpg"
    broken.write_bytes(drawn[1].read_bytes()[:200])

    answers = images.embed_files([drawn[0], broken, gone, drawn[2]])

    assert [type(one) for one in answers] == [np.ndarray, UnreadableImage, SourceMissing, np.ndarray]
    assert images.embed_files([broken])[0].__class__ is UnreadableImage
    alone = images.embed_files([drawn[2]])[0]
    assert np.asarray(answers[3]) @ np.asarray(alone) > 0.999


def test_text_is_cut_after_its_end_without_a_difference(models: Path) -> None:
    model = clip._open_model(models, CLIP.name, 1)
    from open_clip import get_tokenizer

    tokens = get_tokenizer(f"local-dir:{CLIP.folder(models)}")(["red circle", "", "a photo of a blue star " * 30])
    with torch.inference_mode():
        for some in (tokens[:1], tokens[:2], tokens):
            whole = model.encode_text(some)
            assert clip._encode_until_end(model, some).numpy() == pytest.approx(whole.numpy(), abs=1e-5)


def test_white_space_in_a_text_does_not_count(texts: TextEncoder) -> None:
    one, same, other = texts.embed(["red circle", "  red\n circle ", "blue star"])
    assert one == pytest.approx(same, abs=1e-6)
    assert one @ other < 0.9


def test_a_large_photo_is_seen_as_open_clip_sees_it(tmp_path: Path) -> None:
    clip.define_missing_operators()
    from open_clip import image_transform

    random = np.random.default_rng(5)
    coarse = Image.fromarray(random.integers(0, 255, (24, 32, 3), np.uint8))
    path = tmp_path / "photo.jpg"
    coarse.resize((1920, 1440), Image.Resampling.BICUBIC).save(path, quality=90)
    with Image.open(path) as photo:
        theirs = image_transform(224, is_train=False, mean=(0, 0, 0), std=(1, 1, 1))(photo).numpy() * 255
    ours = pixels_of_file(path, BICUBIC).transpose(2, 0, 1)
    assert np.abs(theirs - ours).mean() < 2  # it is decoded at half its size, which blurs a little


def test_what_is_squashed_loses_nothing_at_its_sides(tmp_path: Path) -> None:
    picture = Image.new("RGB", (400, 100), "white")
    picture.paste("red", (0, 0, 60, 100))
    picture.save(tmp_path / "wide.webp", lossless=True)
    squashed = pixels_of_file(tmp_path / "wide.webp", View(64, Image.Resampling.BICUBIC, squash=True))
    cut = pixels_of_file(tmp_path / "wide.webp", View(64, Image.Resampling.BICUBIC, squash=False))
    assert squashed[32, 2].tolist() == [255, 0, 0]
    assert (cut > 250).all()


def test_only_formats_of_previews_are_read(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "a.tiff")
    with pytest.raises(UnreadableImage):
        pixels_of_file(tmp_path / "a.tiff", BICUBIC)


def test_a_picture_with_more_pixels_than_the_limit_is_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (65, 64)).save(tmp_path / "a.jpg")
    monkeypatch.setattr("tasks.ml.picture.MOST_PIXELS", 64 * 64)
    with pytest.raises(UnreadableImage.__base__, match="65 x 64"):
        pixels_of_file(tmp_path / "a.jpg", BICUBIC)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"embed_dim": 640}, "another model's: they give 640 numbers, it gives 512"),
        ({"vision_cfg": {"image_size": 224, "layers": 12, "width": 768, "patch_size": 32}}, "must say quick_gelu true"),
        ({"vision_cfg": {"image_size": 224, "layers": 2, "width": 64, "patch_size": 32}}, "it cannot be read"),
    ],
)
def test_files_of_another_model_are_not_used(
    models: Path, tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    folder = CLIP.folder(tmp_path)
    folder.mkdir(parents=True)
    for file in CLIP.folder(models).iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    described = json.loads((folder / clip.CONFIG).read_text())
    described["model_cfg"] |= changes
    (folder / clip.CONFIG).write_text(json.dumps(described))
    with pytest.raises(ModelUnavailable, match=said):
        load_image_encoder(tmp_path, CLIP.name, 1)


@pytest.mark.parametrize("name", ["XLM-Roberta-Large-Vit-B-32", "ViT-B-32__nobody"])
def test_a_model_that_nothing_here_runs_says_so(models: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / name).symlink_to(CLIP.folder(models))
    with pytest.raises(ModelUnavailable, match="choose another in the settings"):
        load_text_encoder(tmp_path, name, 1)


@pytest.fixture
def copied(models: Path, tmp_path: Path) -> Path:
    """The folder of a model whose files may be spoiled."""
    folder = CLIP.folder(tmp_path)
    folder.mkdir(parents=True)
    for file in CLIP.folder(models).iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


@pytest.mark.parametrize("load", [load_image_encoder, load_text_encoder])
@pytest.mark.parametrize(
    ("name", "spoil", "said"),
    [
        ("open_clip_model.safetensors", cut_short, r"open_clip_model\.safetensors: it is cut short"),
        ("open_clip_config.json", cut_short, r"open_clip_config\.json: it cannot be read \(JSONDecodeError"),
        ("open_clip_model.safetensors", lambda path: path.write_bytes(safetensors()), "it cannot be read"),
    ],
)
def test_a_damaged_model_says_which_file_and_what_to_do(
    copied: Path, load: Callable[..., object], name: str, spoil: Callable[[Path], object], said: str
) -> None:
    spoil(copied / name)
    with pytest.raises(ModelUnavailable, match=f"{said}.*fetch or add the model again"):
        load(copied.parent.parent, CLIP.name, 1)


def test_a_model_that_answers_without_numbers_is_not_used(copied: Path) -> None:
    garble(copied / "open_clip_model.safetensors")
    with pytest.raises(ModelUnavailable, match="no numbers"):
        load_image_encoder(copied.parent.parent, CLIP.name, 1)


def test_a_model_whose_texts_nothing_here_reads_embeds_no_pictures(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = json.loads((copied / clip.CONFIG).read_text())
    described["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = "timm/ViT-B-16-SigLIP2"
    (copied / clip.CONFIG).write_text(json.dumps(described))
    monkeypatch.setattr(clip, "find_spec", lambda name: None)
    with pytest.raises(ModelUnavailable, match="pip install transformers"):
        load_image_encoder(copied.parent.parent, CLIP.name, 1)


def test_missing_weights_name_their_place(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=str(CLIP.folder(tmp_path))):
        load_image_encoder(tmp_path, CLIP.name, 1)


@pytest.mark.parametrize(
    ("text", "has"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx512_bf16 amx_tile\n", True),
        ("flags\t\t: fpu avx2\n", False),
        ("Features\t: fp asimd bf16\n", True),
        ("", False),
    ],
)
def test_the_processor_says_whether_it_multiplies_bfloat16(tmp_path: Path, text: str, has: bool) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    assert has_bfloat16(tmp_path / "cpuinfo") is has
    assert has_bfloat16(tmp_path / "none") is False
    assert best_runtime() in Runtime
