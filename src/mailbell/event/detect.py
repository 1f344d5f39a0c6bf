"""What attachments are: types by their first octets, names by their types. A table of what devices send."""

import re

HEAD = 32

_MAGIC = tuple(
    (re.compile(pattern, re.DOTALL), kind)
    for pattern, kind in (
        (rb"\xff\xd8\xff", "image/jpeg"),
        (rb"\x89PNG\r\n\x1a\n", "image/png"),
        (rb"GIF8[79]a", "image/gif"),
        (rb"RIFF....WEBP", "image/webp"),
        (rb"RIFF....AVI ", "video/x-msvideo"),
        (rb"RIFF....WAVE", "audio/wav"),
        (rb"BM....\0\0\0\0....[\x0c\x28\x38\x40\x6c\x7c]\0\0\0", "image/bmp"),
        (rb"II\*\0|MM\0\*", "image/tiff"),
        (rb"....ftyp(?:heic|heix|hevc|hevx|mif1|msf1)", "image/heic"),
        (rb"....ftypavi[fs]", "image/avif"),
        (rb"....ftypqt  ", "video/quicktime"),
        (rb"....ftyp3g", "video/3gpp"),
        (rb"....ftypM4A ", "audio/mp4"),
        (rb"....ftyp", "video/mp4"),
        (rb"\x1aE\xdf\xa3", "video/x-matroska"),
        (rb"\x00\x00\x01[\xb3\xba]", "video/mpeg"),
        (rb"FLV\x01", "video/x-flv"),
        (rb"OggS", "audio/ogg"),
        (rb"ID3|\xff[\xfb\xf3\xf2]", "audio/mpeg"),
        (rb"fLaC", "audio/flac"),
        (rb"#!AMR", "audio/amr"),
        (rb"%PDF-", "application/pdf"),
        (rb"PK(?:\x03\x04|\x05\x06)", "application/zip"),
        (rb"\x1f\x8b", "application/gzip"),
        (rb"BZh[1-9]", "application/x-bzip2"),
        (rb"\xfd7zXZ\0", "application/x-xz"),
        (rb"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
        (rb"Rar!\x1a\x07", "application/vnd.rar"),
        (rb"\x28\xb5\x2f\xfd", "application/zstd"),
        (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
        (rb"\x78\x9f\x3e\x22", "application/ms-tnef"),
        (rb"\{\\rtf", "application/rtf"),
        (rb"%!PS", "application/postscript"),
        (rb"\x7fELF", "application/x-elf"),
        (rb"SQLite format 3\0", "application/vnd.sqlite3"),
    )
)
_SUFFIXES = {
    "application/gzip": "gz",
    "application/json": "json",
    "application/ms-tnef": "dat",
    "application/pdf": "pdf",
    "application/pgp-signature": "asc",
    "application/pkcs7-mime": "p7m",
    "application/pkcs7-signature": "p7s",
    "application/postscript": "ps",
    "application/rtf": "rtf",
    "application/x-7z-compressed": "7z",
    "application/x-bzip2": "bz2",
    "application/x-pkcs7-mime": "p7m",
    "application/x-pkcs7-signature": "p7s",
    "application/x-xz": "xz",
    "application/xml": "xml",
    "application/zip": "zip",
    "application/zstd": "zst",
    "application/vnd.rar": "rar",
    "audio/flac": "flac",
    "audio/mp4": "m4a",
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg",
    "audio/wav": "wav",
    "image/avif": "avif",
    "image/bmp": "bmp",
    "image/gif": "gif",
    "image/heic": "heic",
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/svg+xml": "svg",
    "image/tiff": "tif",
    "image/webp": "webp",
    "message/delivery-status": "txt",
    "message/rfc822": "eml",
    "text/calendar": "ics",
    "text/csv": "csv",
    "text/html": "html",
    "text/plain": "txt",
    "text/rfc822-headers": "txt",
    "text/vcard": "vcf",
    "text/x-vcard": "vcf",
    "text/xml": "xml",
    "video/3gpp": "3gp",
    "video/mp4": "mp4",
    "video/mpeg": "mpg",
    "video/quicktime": "mov",
    "video/x-flv": "flv",
    "video/x-matroska": "mkv",
    "video/x-msvideo": "avi",
}


def detect(head: bytes) -> str | None:
    """The media type that these first octets belong to, when they are known."""
    return next((kind for pattern, kind in _MAGIC if pattern.match(head)), None)


def suffix(*kinds: str | None) -> str:
    """The file name suffix of the first of these types that has one."""
    return next((_SUFFIXES[kind] for kind in kinds if kind in _SUFFIXES), "bin")
