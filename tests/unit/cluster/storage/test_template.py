"""What each token says, what the syntax knows, and where files end up."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from cluster.errors import PathEscapes, TemplateInvalid
from cluster.storage.template import (
    DATE_TOKENS,
    PRESETS,
    SAMPLE,
    AlbumFacts,
    check_template,
    number_in,
    numbered,
    parse_template,
    target_path,
)

PHOTO = replace(SAMPLE, taken_at=datetime(2023, 1, 2, 15, 4, 5, 67_000), album=None, make="", model="", lens_model="")
MIDNIGHT = replace(PHOTO, taken_at=datetime(2021, 1, 3, 0, 0, 0))
ALBUM = AlbumFacts("Sea. & sun/2", datetime(2001, 12, 31), datetime(2002, 1, 1))


def rendered(template: str, subject: object = PHOTO) -> str:
    return parse_template(template).render(subject)  # type: ignore[arg-type]


def test_every_date_token_is_written_as_luxon_does() -> None:
    said = {token: rendered(f"{{{{{token}}}}}") for token in DATE_TOKENS}
    assert said == {
        **{"y": "2023", "yy": "23", "M": "1", "MM": "01", "MMM": "Jan", "MMMM": "January", "W": "1", "WW": "01"},
        **{"d": "2", "dd": "02", "h": "3", "hh": "03", "H": "15", "HH": "15", "m": "4", "mm": "04"},
        **{"s": "5", "ss": "05", "SSS": "067"},
    }
    assert rendered("{{h}} {{hh}} {{H}} {{HH}} {{W}} {{WW}}", MIDNIGHT) == "12 12 0 00 53 53"


def test_every_other_token() -> None:
    assert rendered("{{filename}}.{{ext}}", replace(PHOTO, file_name="a.b.JPEG", extension="JPEG")) == "a.b.jpg"
    assert rendered("{{filetype}}{{filetypefull}}") == "IMGIMAGE"
    assert rendered("{{filetype}}{{filetypefull}}", replace(PHOTO, is_video=True)) == "VIDVIDEO"
    assert rendered("{{assetId}}-{{assetIdShort}}") == f"{PHOTO.asset_id}-{PHOTO.asset_id[-12:]}"
    assert rendered("{{make}}/{{model}}/{{lensModel}}/x") == "x"
    full = replace(SAMPLE, lens_model="EF24-105mm f/4L: IS?")
    assert rendered("{{make}}/{{model}}/{{lensModel}}/x", full) == "FUJIFILM/X-T50/EF24-105mm f4L IS/x"


def test_an_album_is_one_folder_and_has_dates() -> None:
    photo = replace(PHOTO, album=ALBUM)
    assert rendered("{{album}}/{{album-startDate-y}}-{{album-endDate-MMM}}/x", photo) == "Sea & sun2/2001-Jan/x"
    assert rendered("{{album}}/x") == "x"
    with pytest.raises(TemplateInvalid, match="there is no album"):
        rendered("{{album-startDate-y}}/x")


@pytest.mark.parametrize(
    ("template", "without", "with_album"),
    [
        ("{{#if album}}{{album}}{{else}}Other/{{MM}}{{/if}}/x", "Other/01/x", "Sea & sun2/x"),
        ("{{#if album}}a{{#if make}}b{{else}}c{{/if}}{{/if}}x", "x", "acx"),
        ("{{#unless album}}none{{/unless}}x", "nonex", "x"),
        ("{{#if make}}m{{else if album}}a{{else}}n{{/if}}x", "nx", "ax"),
        ("{{#if make}}m{{else if album}}a{{/if}}x", "x", "ax"),
        ("{{ y }}/{{{y}}}{{!-- a comment --}}{{! and one }}/{{~y~}}", "2023/2023/2023", "2023/2023/2023"),
    ],
)
def test_blocks(template: str, without: str, with_album: str) -> None:
    assert rendered(template) == without
    assert rendered(template, replace(PHOTO, album=ALBUM)) == with_album


@pytest.mark.parametrize(
    "wrong",
    [
        *("{{x}}", "{{}}", "{{y", "y}}", "{{#if album}}a", "a{{/if}}", "{{else}}", "{{#if album}}a{{/unless}}"),
        *("{{#if x}}a{{/if}}", "{{#if}}a{{/if}}", "{{#each y}}a{{/each}}", "{{y MM}}", "{{y.MM}}", "{{Y}}"),
        *("{{#if album}}a{{else}}{{x}}{{/if}}", "{{#if album}}a{{else}}b{{else}}c{{/if}}"),
        *("{{album-startDate-}}", "{{album-startDate-album-endDate-y}}", "{{#if album}}a{{else each y}}b{{/if}}"),
        *("{{y}}/", "", "/", "../{{filename}}", "a/../../{{y}}", "\0"),
    ],
)
def test_what_is_refused_when_it_is_saved(wrong: str) -> None:
    with pytest.raises(TemplateInvalid):
        check_template(wrong)


def test_the_presets_are_those_of_the_list() -> None:
    for preset in PRESETS:
        check_template(preset)
        rendered(preset)
    assert rendered(PRESETS[5], replace(PHOTO, album=ALBUM)) == "2001/Sea & sun2/IMG_123"
    assert [rendered(PRESETS[at]) for at in (0, 5, 15, 18)] == [
        "2023/2023-01-02/IMG_123",
        "2023/Other/01/IMG_123",
        "2023/2023-01/IMG_123",
        f"2023/2023-01/{PHOTO.asset_id}",
    ]


def test_slashes_collapse_and_names_stay_short_and_plain() -> None:
    assert rendered("//{{y}}///{{filename}}") == "2023/IMG_123"
    assert rendered("{{filename}}", replace(PHOTO, file_name="...")) == PHOTO.asset_id
    assert rendered("{{filename}}", replace(PHOTO, file_name="../../etc/passwd.jpg")) == "passwd"
    assert rendered("{{filename}}", replace(PHOTO, file_name="a:b\n. .jpg")) == "ab"
    longest = rendered("{{filename}}{{filename}}", replace(PHOTO, file_name="ü" * 300 + ".jpg"))
    assert len(longest.encode()) == 220
    assert set(longest) == {"ü"}


@pytest.mark.parametrize(
    ("extension", "written"),
    [
        *(("JPG", "jpg"), ("jpeg", "jpg"), ("jpe", "jpg"), ("tif", "tiff"), ("3gpp", "3gp"), ("mpeg", "mpg")),
        *(("mpe", "mpg"), ("m2ts", "mts"), ("m2t", "mts"), ("HEIC", "heic")),
    ],
)
def test_one_extension_for_each_kind(extension: str, written: str) -> None:
    assert target_path(Path("/m/library"), "ann", "a/b", extension) == Path(f"/m/library/ann/a/b.{written}")


@pytest.mark.parametrize("owner", ["", ".", "..", "a/b", "../ann", "a\0b"])
def test_no_owner_leads_out_of_the_library(owner: str) -> None:
    with pytest.raises(PathEscapes):
        target_path(Path("/m/library"), owner, "x", "jpg")


@pytest.mark.parametrize("rendered_path", ["../x", "a/../../bob/x"])
def test_no_template_leads_out_of_the_owners_folder(rendered_path: str) -> None:
    with pytest.raises(PathEscapes):
        target_path(Path("/m/library"), "ann", rendered_path, "jpg")


def test_numbers_stand_before_the_extension_and_are_known_again() -> None:
    wanted = Path("/m/a.b.jpg")
    assert numbered(wanted, 0) == wanted
    assert numbered(wanted, 12) == Path("/m/a.b+12.jpg")
    assert [number_in(numbered(wanted, number), wanted) for number in (0, 1, 12)] == [0, 1, 12]
    for other in ("/m/a.b+0.jpg", "/m/a.b+1.png", "/m/a.b+.jpg", "/m/a.bc+1.jpg", "/n/a.b+1.jpg", "/m/a.b+1+1.jpg"):
        assert number_in(Path(other), wanted) is None, other
