"""Motion photos as phones write them: a picture with a video inside. exiftool, which reads them, is the judge."""

import struct
from pathlib import Path

CAMERA = "http://ns.google.com/photos/1.0/camera/"
CONTAINER = "http://ns.google.com/photos/1.0/container/"


def xmp(attributes: str, inner: str = "") -> bytes:
    """An XMP packet whose one description has these attributes and elements, with Google's names at hand."""
    names = f'xmlns:GCamera="{CAMERA}" xmlns:Container="{CONTAINER}" xmlns:Item="{CONTAINER}item/"'
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="" {names} {attributes}>{inner}</rdf:Description></rdf:RDF></x:xmpmeta>'
    )
    return packet.encode()


def with_xmp(jpeg: bytes, packet: bytes) -> bytes:
    """The JPEG with the packet in a segment of its own, after the first."""
    segment = b"http://ns.adobe.com/xap/1.0/\0" + packet
    first_ends = 4 + struct.unpack(">H", jpeg[4:6])[0]
    return jpeg[:first_ends] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[first_ends:]


def google_micro_video(jpeg: bytes, video: bytes) -> bytes:
    """The older form: an offset from the end."""
    packet = xmp(f'GCamera:MicroVideo="1" GCamera:MicroVideoVersion="1" GCamera:MicroVideoOffset="{len(video)}"')
    return with_xmp(jpeg, packet) + video


def google_motion_photo(jpeg: bytes, video: bytes, padding: bytes = b"") -> bytes:
    """The newer form: a directory of what follows the picture."""
    items = (("image/jpeg", "Primary", 0, 0), ("video/mp4", "MotionPhoto", len(video), len(padding)))
    entries = "".join(
        f'<rdf:li rdf:parseType="Resource"><Container:Item Item:Mime="{mime}" Item:Semantic="{semantic}" '
        f'Item:Length="{length}" Item:Padding="{pad}"/></rdf:li>'
        for mime, semantic, length, pad in items
    )
    directory = f"<Container:Directory><rdf:Seq>{entries}</rdf:Seq></Container:Directory>"
    return with_xmp(jpeg, xmp('GCamera:MotionPhoto="1"', directory)) + video + padding


def samsung_motion_photo(jpeg: bytes, video: bytes) -> bytes:
    """A trailer of Samsung's: blocks, then their directory, read from the end."""
    name = b"MotionPhoto_Data"
    block = struct.pack("<HHI", 0, 0x0A30, len(name)) + name + video
    directory = b"SEFH" + struct.pack("<II", 106, 1) + struct.pack("<HHII", 0, 0x0A30, len(block), len(block))
    trailer = block + directory + struct.pack("<I", len(directory)) + b"SEFT"
    return with_xmp(jpeg, xmp('GCamera:MotionPhoto="1"')) + trailer


def samsung_heic(heic: Path, video: bytes) -> bytes:
    """A box of Samsung's after the picture's own; `heic` says in its XMP that it moves."""
    return heic.read_bytes() + struct.pack(">I", 8 + len(video)) + b"mpvd" + video
