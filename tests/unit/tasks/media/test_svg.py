import base64
from pathlib import Path

import pytest
from PIL import Image

from cluster.errors import UnreadableImage
from tasks.media.image import render_image
from tests.unit.tasks.media.pictures import preview, quarters, save, thumbnail

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'


def drawn(folder: Path, svg: str, size_px: int | None = 1440) -> Image.Image:
    source = folder / "a.svg"
    source.write_text(svg)
    made = render_image(source, [thumbnail(folder, size_px)], name="a.svg", is_srgb=True)
    with Image.open(made.files[0].path) as image:
        return image.convert("RGBA")


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ('width="80" height="60"', (80, 60)),
        ('width="1in" height="48px"', (96, 48)),
        ('viewBox="0 0 70 50"', (70, 50)),
        ('width="140" viewBox="0 0 70 50"', (140, 100)),
        ('width="100%" height="100%" viewBox="0 0 70 50"', (70, 50)),
        ("", (100, 100)),
    ],
)
def test_a_drawing_has_its_own_size(tmp_path: Path, size: str, expected: tuple[int, int]) -> None:
    image = drawn(tmp_path, f'{HEAD} {size}><rect width="9999" height="9999" fill="#c81e1e"/></svg>')
    assert image.size == expected
    assert image.getpixel((30, 30)) == pytest.approx((200, 30, 30, 255), abs=12)


def test_a_drawing_is_transparent_where_nothing_is_drawn(tmp_path: Path) -> None:
    image = drawn(tmp_path, f'{HEAD} width="80" height="60"><rect width="40" height="60" fill="red"/></svg>')
    assert image.getpixel((70, 30))[3] == 0  # type: ignore[index]


def test_a_large_drawing_is_drawn_small(tmp_path: Path) -> None:
    svg = f'{HEAD} width="8000" height="6000"><rect width="4000" height="6000" fill="#0000ff"/></svg>'
    image = drawn(tmp_path, svg, 120)
    assert image.size == (160, 120)
    assert image.getpixel((40, 60)) == pytest.approx((0, 0, 255, 255), abs=12)


@pytest.mark.parametrize("attribute", ["href", "xlink:href"])
@pytest.mark.parametrize("form", ["{path}", "file://{path}", "&#x2f;{relative}", "  {path}"])
def test_files_that_a_drawing_names_are_not_read(tmp_path: Path, attribute: str, form: str) -> None:
    secret = save(tmp_path / "secret.png", quarters(), "PNG")
    target = form.format(path=secret, relative=str(secret)[1:])
    image = drawn(
        tmp_path, f'{HEAD} width="64" height="48"><image {attribute}="{target}" width="64" height="48"/></svg>'
    )
    assert image.getextrema()[3] == (0, 0)


def test_a_drawing_within_a_drawing_reads_no_files_either(tmp_path: Path) -> None:
    secret = save(tmp_path / "secret.png", quarters(), "PNG")
    inner = f'{HEAD} width="64" height="48"><image href="{secret}" width="64" height="48"/></svg>'
    data = base64.b64encode(inner.encode()).decode()
    image = drawn(
        tmp_path,
        f'{HEAD} width="64" height="48"><image href="data:image/svg+xml;base64,{data}" width="64" height="48"/></svg>',
    )
    assert image.getextrema()[3] == (0, 0)


def test_pictures_that_a_drawing_carries_are_drawn(tmp_path: Path) -> None:
    data = base64.b64encode(save(tmp_path / "x.png", quarters(), "PNG").read_bytes()).decode()
    image = drawn(
        tmp_path,
        f'{HEAD} width="64" height="48"><image href="data:image/png;base64,{data}" width="64" height="48"/></svg>',
    )
    assert image.getpixel((8, 8)) == pytest.approx((230, 30, 30, 255), abs=12)


@pytest.mark.parametrize(
    "broken",
    [
        "<html><body>no</body></html>",
        f"{HEAD}><rect></svg>",
        f'{HEAD} width="-5" height="0"/>',
        f'{HEAD} width="1e400" height="5"/>',
        '<!DOCTYPE s [<!ENTITY a "aaaaaaaaaa">'
        + "".join(f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(12))
        + f"]>{HEAD}><text>&m;</text></svg>",
    ],
    ids=["html", "unclosed", "negative", "endless", "billion laughs"],
)
def test_a_broken_drawing_is_refused(tmp_path: Path, broken: str) -> None:
    source = tmp_path / "a.svg"
    source.write_text(broken)
    with pytest.raises(UnreadableImage, match=r"a\.svg"):
        render_image(source, [preview(tmp_path)], name="a.svg", is_srgb=True)
