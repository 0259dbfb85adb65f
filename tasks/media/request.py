"""What a decoder is asked for, and the limits that it keeps before it allocates anything."""

from dataclasses import dataclass
from pathlib import Path

from cluster.errors import TooLarge
from tasks.media.renditions import Limits


@dataclass(frozen=True, slots=True)
class Request:
    """`label`: how errors name the file. `short_edge_px`: the least that is needed, None for every pixel. `space`: the
    colours that will be written, for decoders that can choose. `process_invalid`: let damaged files pass.
    `embedded_edge_px`: take a camera file's own preview when its short edge has this many pixels."""

    label: str
    short_edge_px: int | None
    space: str
    limits: Limits
    process_invalid: bool = False
    embedded_edge_px: int | None = None

    def check_pixels(self, width_px: int, height_px: int) -> None:
        """Raises TooLarge. Call it with what the header says."""
        if width_px * height_px > self.limits.max_pixels:
            raise TooLarge(self.label, f"{width_px} x {height_px} pixels, at most {self.limits.max_pixels} are decoded")

    def check_decoded_pixels(self, width_px: int, height_px: int) -> None:
        """Raises TooLarge. Call it with what the decoder is about to allocate."""
        if width_px * height_px > self.limits.max_decoded_pixels:
            raise TooLarge(
                self.label,
                f"{width_px} x {height_px} pixels in memory, at most {self.limits.max_decoded_pixels} are held",
            )

    def read_bytes(self, source: Path) -> bytes:
        """The whole file, for decoders that want it so. Raises TooLarge."""
        size_bytes = source.stat().st_size
        if size_bytes > self.limits.max_file_bytes:
            raise TooLarge(
                self.label, f"{size_bytes} bytes, at most {self.limits.max_file_bytes} are read for this kind of file"
            )
        return source.read_bytes()
