"""Types by first octets."""

import pytest

from mailbell.event.detect import detect, suffix

HEADS = {
    b"\xff\xd8\xff\xe0\x00\x10JFIF": "image/jpeg",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"GIF89a": "image/gif",
    b"RIFF\x00\x00\x00\x00WEBPVP8 ": "image/webp",
    b"RIFF\x00\x00\x00\x00AVI LIST": "video/x-msvideo",
    b"BM\x46\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00\x28\x00\x00\x00": "image/bmp",
    b"II*\x00\x08": "image/tiff",
    b"MM\x00*\x00": "image/tiff",
    b"\x00\x00\x00\x18ftypheic": "image/heic",
    b"\x00\x00\x00\x18ftypmp42": "video/mp4",
    b"\x00\x00\x00\x14ftypqt  ": "video/quicktime",
    b"%PDF-1.7": "application/pdf",
    b"PK\x03\x04\x14": "application/zip",
    b"\x1f\x8b\x08": "application/gzip",
    b"\x78\x9f\x3e\x22": "application/ms-tnef",
    b"": None,
    b"BMW is a car, and no picture": None,
    b"Alarm": None,
}


@pytest.mark.parametrize("head", HEADS)
def test_detect(head: bytes) -> None:
    assert detect(head) == HEADS[head]


def test_suffixes() -> None:
    assert suffix("image/jpeg", "application/octet-stream") == "jpg"
    assert suffix(None, "text/plain") == "txt"
    assert suffix(None, "x/y") == "bin"
