"""Make a deterministic corpus of camera-like JPEGs (and, optionally, short videos).

Every file is different, carries full EXIF (camera, exposure, dates, GPS, an embedded thumbnail) and is about the size
that a 12-megapixel phone camera writes. Pixels are cut from the photos under --photos when given (random crop, mirror,
rotation, exposure and white-balance change, plus sensor noise), and synthesised (fractal colour fields, shapes and
texture) otherwise.

The same arguments give the same JPEG bytes with the same library versions; videos depend on the ffmpeg build.

    python bench/make_corpus.py --out corpus --count 300
    python bench/make_corpus.py --out corpus --count 300 --photos photos/ --videos 20

Needs numpy, Pillow and piexif; ffmpeg with libx264 and libx265 for --videos.
"""

import argparse
import datetime as dt
import io
import json
import os
import subprocess
from dataclasses import dataclass
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import numpy as np
import piexif
from PIL import Image, ImageDraw, ImageOps

BICUBIC = Image.Resampling.BICUBIC

Image.MAX_IMAGE_PIXELS = None

CAMERAS = [
    ("Google", "Pixel 7", "Pixel 7 back camera 6.81mm f/1.85", 185, 681),
    ("samsung", "SM-G991B", "Samsung S21 Rear Wide Camera", 180, 540),
    ("Apple", "iPhone 12", "iPhone 12 back dual wide camera 4.2mm f/1.6", 160, 420),
    ("Canon", "Canon EOS 600D", "EF-S18-55mm f/3.5-5.6 IS II", 560, 3500),
    ("SONY", "ILCE-6000", "E PZ 16-50mm F3.5-5.6 OSS", 400, 2800),
]
CITIES = [
    ("London", 51.5074, -0.1278),
    ("Paris", 48.8566, 2.3522),
    ("Berlin", 52.52, 13.405),
    ("New York", 40.7128, -74.006),
    ("San Francisco", 37.7749, -122.4194),
    ("Tokyo", 35.6762, 139.6503),
    ("Sydney", -33.8688, 151.2093),
    ("Cape Town", -33.9249, 18.4241),
    ("Sao Paulo", -23.5505, -46.6333),
    ("Mumbai", 19.076, 72.8777),
    ("Reykjavik", 64.1466, -21.9426),
    ("Moab", 38.5733, -109.5498),
]


@dataclass(frozen=True)
class Corpus:
    """What to make, from the command line."""

    out: Path
    count: int = 300
    first: int = 0
    size: tuple[int, int] = (4000, 3000)
    quality: int = 90
    noise: float = 10.0
    gps: float = 0.9
    seed: int = 1
    sources: tuple[str, ...] = ()
    videos: int = 0
    video_size: tuple[int, int] = (1920, 1080)
    video_seconds: int = 10
    video_bitrate: str = "12M"
    jobs: int = 1


def parse_size(text: str) -> tuple[int, int]:
    width, height = text.lower().split("x")
    return int(width), int(height)


def dms(value: float) -> tuple[tuple[int, int], ...]:
    """Degrees, minutes and seconds as EXIF's fractions."""
    value = abs(value)
    degrees = int(value)
    minutes = int((value - degrees) * 60)
    seconds = round(((value - degrees) * 60 - minutes) * 60 * 10000)
    return ((degrees, 1), (minutes, 1), (seconds, 10000))


def synthetic(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Fractal noise in three channels, shapes with hard edges, fine texture."""
    total = np.zeros((height, width, 3), np.float32)
    amplitude = 70.0
    cells = 3
    while cells < 400:
        grid = rng.standard_normal((max(2, cells * height // width + 1), cells + 1, 3)).astype(np.float32)
        layer = np.stack(
            [np.asarray(Image.fromarray(grid[..., c]).resize((width, height), BICUBIC)) for c in range(3)], -1
        )
        total += amplitude * layer
        amplitude *= 0.62
        cells *= 2
    image = Image.fromarray(np.clip(total + 128, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(20, 60))):
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        reach_x, reach_y = int(rng.integers(10, width // 6)), int(rng.integers(10, height // 6))
        color = tuple(int(v) for v in rng.integers(0, 256, 3))
        box = [x, y, x + reach_x, y + reach_y]
        match int(rng.integers(0, 3)):
            case 0:
                draw.rectangle(box, fill=color)
            case 1:
                draw.ellipse(box, fill=color)
            case _:
                draw.line(box, fill=color, width=int(rng.integers(2, 30)))
    return image


def from_photo(rng: np.random.Generator, path: str, width: int, height: int) -> Image.Image:
    """A crop of a photo, turned or mirrored by chance, scaled to the size wanted."""
    opened = Image.open(path)
    opened.draft("RGB", (width, height))
    image: Image.Image = ImageOps.exif_transpose(opened).convert("RGB")
    if rng.random() < 0.3:
        image = image.rotate(90, expand=True)
    if rng.random() < 0.5:
        image = ImageOps.mirror(image)
    source_width, source_height = image.size
    aspect = width / height
    share = float(rng.uniform(0.6, 1.0))
    if source_width / source_height < aspect:
        crop_width, crop_height = source_width * share, source_width * share / aspect
    else:
        crop_width, crop_height = source_height * share * aspect, source_height * share
    left = float(rng.uniform(0, source_width - crop_width))
    top = float(rng.uniform(0, source_height - crop_height))
    return image.resize((width, height), BICUBIC, box=(left, top, left + crop_width, top + crop_height))


def exif_for(
    rng: np.random.Generator, number: int, orientation: int, corpus: Corpus, image: Image.Image
) -> tuple[bytes, str, str | None, str]:
    """EXIF as a camera writes it; also the time taken, the city nearby and the camera's model."""
    make, model, lens, f_number, focal_length = CAMERAS[int(rng.integers(0, len(CAMERAS)))]
    when = dt.datetime(2019, 1, 1) + dt.timedelta(seconds=int(rng.integers(0, 6 * 365 * 86400)))
    stamp = when.strftime("%Y:%m:%d %H:%M:%S")
    thumbnail = image.copy()
    thumbnail.thumbnail((160, 120))
    buffer = io.BytesIO()
    thumbnail.save(buffer, "JPEG", quality=75)
    iso = int(rng.choice([50, 100, 200, 400, 800, 1600]))
    shutter = int(rng.choice([30, 60, 125, 250, 500, 1000, 2000]))
    width, height = corpus.size
    exif: dict[str, Any] = {
        "0th": {
            piexif.ImageIFD.Make: make,
            piexif.ImageIFD.Model: model,
            piexif.ImageIFD.Software: "corpus",
            piexif.ImageIFD.DateTime: stamp,
            piexif.ImageIFD.Orientation: orientation,
            piexif.ImageIFD.XResolution: (72, 1),
            piexif.ImageIFD.YResolution: (72, 1),
            piexif.ImageIFD.ResolutionUnit: 2,
            piexif.ImageIFD.YCbCrPositioning: 1,
            piexif.ImageIFD.ImageDescription: f"corpus photo {number:05d}",
        },
        "Exif": {
            piexif.ExifIFD.DateTimeOriginal: stamp,
            piexif.ExifIFD.DateTimeDigitized: stamp,
            piexif.ExifIFD.SubSecTimeOriginal: f"{int(rng.integers(0, 1000)):03d}",
            piexif.ExifIFD.ExposureTime: (1, shutter),
            piexif.ExifIFD.FNumber: (f_number, 100),
            piexif.ExifIFD.ISOSpeedRatings: iso,
            piexif.ExifIFD.FocalLength: (focal_length, 100),
            piexif.ExifIFD.FocalLengthIn35mmFilm: 26,
            piexif.ExifIFD.LensModel: lens,
            piexif.ExifIFD.ColorSpace: 1,
            piexif.ExifIFD.ExifVersion: b"0232",
            piexif.ExifIFD.PixelXDimension: width,
            piexif.ExifIFD.PixelYDimension: height,
            piexif.ExifIFD.WhiteBalance: 0,
            piexif.ExifIFD.Flash: 16,
            piexif.ExifIFD.MeteringMode: 2,
            piexif.ExifIFD.SceneCaptureType: 0,
            piexif.ExifIFD.MakerNote: bytes(rng.integers(0, 256, 2000, dtype=np.uint8)),
        },
        "GPS": {},
        "1st": {
            piexif.ImageIFD.Compression: 6,
            piexif.ImageIFD.XResolution: (72, 1),
            piexif.ImageIFD.YResolution: (72, 1),
            piexif.ImageIFD.ResolutionUnit: 2,
        },
        "thumbnail": buffer.getvalue(),
    }
    city = None
    if rng.random() < corpus.gps:
        city, latitude, longitude = CITIES[int(rng.integers(0, len(CITIES)))]
        latitude += float(rng.normal(0, 0.03))
        longitude += float(rng.normal(0, 0.03))
        exif["GPS"] = {
            piexif.GPSIFD.GPSVersionID: (2, 3, 0, 0),
            piexif.GPSIFD.GPSLatitudeRef: "N" if latitude >= 0 else "S",
            piexif.GPSIFD.GPSLatitude: dms(latitude),
            piexif.GPSIFD.GPSLongitudeRef: "E" if longitude >= 0 else "W",
            piexif.GPSIFD.GPSLongitude: dms(longitude),
            piexif.GPSIFD.GPSAltitudeRef: 0,
            piexif.GPSIFD.GPSAltitude: (int(rng.integers(0, 90000)), 100),
            piexif.GPSIFD.GPSDateStamp: when.strftime("%Y:%m:%d"),
            piexif.GPSIFD.GPSTimeStamp: ((when.hour, 1), (when.minute, 1), (when.second, 1)),
        }
    return piexif.dump(exif), stamp, city, model


def make_jpeg(job: tuple[int, Corpus]) -> dict[str, Any]:
    """Write one JPEG; returns its line of the manifest."""
    number, corpus = job
    out = corpus.out / f"img_{number:05d}.jpg"
    width, height = corpus.size
    rng = np.random.default_rng([corpus.seed, number])
    if corpus.sources:
        image = from_photo(rng, corpus.sources[int(rng.integers(0, len(corpus.sources)))], width, height)
    else:
        image = synthetic(rng, width, height)
    pixels = np.asarray(image).astype(np.int16)
    gain = rng.uniform(0.8, 1.2) * rng.uniform(0.93, 1.07, 3)
    # one noise tile, rolled per channel: cheap and still incompressible
    noise = np.rint(rng.standard_normal((height, width), dtype=np.float32) * corpus.noise)
    tile = np.clip(noise, -40, 40).astype(np.int16)
    noisy = np.empty_like(pixels)
    for c in range(3):
        rolled = np.roll(tile, (17 * c, 31 * c), (0, 1)) // (1 if c == 1 else 2)
        noisy[..., c] = np.clip((pixels[..., c] * gain[c]).astype(np.int16) + rolled, 0, 255)
    image = Image.fromarray(noisy.astype(np.uint8))
    orientation = int(rng.choice([1, 6, 8, 3], p=[0.7, 0.2, 0.07, 0.03]))
    exif, stamp, city, model = exif_for(rng, number, orientation, corpus, image)
    image.save(out, "JPEG", quality=corpus.quality, subsampling="4:2:0", exif=exif)
    return {
        "file": out.name,
        "bytes": out.stat().st_size,
        "taken": stamp,
        "near": city,
        "model": model,
        "orientation": orientation,
    }


def make_video(number: int, corpus: Corpus) -> dict[str, Any]:
    """Even numbers h264, odd numbers hevc; sources alternate in pairs."""
    hevc = number % 2 == 1
    out = corpus.out / f"vid_{number:04d}_{'hevc' if hevc else 'h264'}.mp4"
    width, height = corpus.video_size
    if (number // 2) % 2 == 0:
        source = f"testsrc2=size={width}x{height}:rate=30:duration={corpus.video_seconds}"
    else:
        # drawn at half size and scaled up: the fractal source is slow
        source = (
            f"mandelbrot=size={width // 2}x{height // 2}:rate=30:start_scale={3.0 / (1 + number):.4f}:maxiter=400,"
            f"scale={width}:{height}"
        )
    source += f",hue=h={(number * 37) % 360},noise=alls=6:allf=t:all_seed={corpus.seed + number},format=yuv420p"
    when = dt.datetime(2020, 1, 1) + dt.timedelta(days=61 * number, seconds=number)
    if hevc:
        codec = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error", "-tag:v", "hvc1"]
    else:
        codec = ["-c:v", "libx264", "-preset", "veryfast"]
    subprocess.run(
        [
            *("ffmpeg", "-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", source),
            *("-f", "lavfi", "-i", f"sine=frequency={220 + 20 * number}:sample_rate=48000"),
            *("-t", str(corpus.video_seconds), "-map_metadata", "-1"),
            *("-metadata", f"creation_time={when.isoformat()}Z", *codec),
            *("-b:v", corpus.video_bitrate, "-g", "60", "-c:a", "aac", "-b:a", "128k", "-movflags", "+faststart"),
            str(out),
        ],
        check=True,
    )
    return {"file": out.name, "bytes": out.stat().st_size, "taken": when.isoformat() + "Z"}


def large_jpegs(folder: Path) -> tuple[str, ...]:
    """The JPEGs of 2 megapixels or more anywhere below `folder`, sorted."""
    found = []
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() in (".jpg", ".jpeg"):
            try:
                with Image.open(file) as image:
                    if image.size[0] * image.size[1] >= 2_000_000:
                        found.append(str(file))
            except OSError:
                continue
    return tuple(found)


def make(corpus: Corpus) -> list[dict[str, Any]]:
    """Write the corpus and its manifest; returns the manifest's lines."""
    corpus.out.mkdir(parents=True, exist_ok=True)
    numbers = range(corpus.first, corpus.first + corpus.count)
    with Pool(corpus.jobs) as pool:
        rows = pool.map(make_jpeg, [(number, corpus) for number in numbers], chunksize=4)
    rows += [make_video(number, corpus) for number in range(corpus.videos)]
    (corpus.out / "manifest.json").write_text(json.dumps(rows, indent=1))
    return rows


def parse_arguments() -> Corpus:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, type=Path, help="folder to write into (made if missing)")
    parser.add_argument("--count", type=int, default=300, help="JPEGs to make (default 300)")
    parser.add_argument("--first", type=int, default=0, help="number of the first JPEG (default 0)")
    parser.add_argument("--size", type=parse_size, default=(4000, 3000), help="WxH (default 4000x3000)")
    parser.add_argument("--quality", type=int, default=90)
    parser.add_argument("--noise", type=float, default=10.0, help="sensor noise, sigma in 8-bit levels")
    parser.add_argument("--gps", type=float, default=0.9, help="share of JPEGs with a position")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--photos", type=Path, help="folder of source JPEGs (searched recursively; those of >= 2 MP are used)"
    )
    parser.add_argument("--videos", type=int, default=0, help="videos to make (even h264, odd hevc)")
    parser.add_argument("--video-size", type=parse_size, default=(1920, 1080))
    parser.add_argument("--video-seconds", type=int, default=10)
    parser.add_argument("--video-bitrate", default="12M")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    arguments = vars(parser.parse_args())
    photos = arguments.pop("photos")
    sources = large_jpegs(photos) if photos else ()
    if photos and not sources:
        parser.error(f"no JPEG of 2 megapixels or more under {photos}")
    return Corpus(**arguments, sources=sources)


def main() -> None:
    rows = make(parse_arguments())
    print(f"{len(rows)} files, {sum(row['bytes'] for row in rows) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
