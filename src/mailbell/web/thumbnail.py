"""The program that scales one picture: the picture on standard input, a small JPEG on standard output.

A process of its own, for what comes is a stranger's and is decoded by C: a picture that unpacks to
gigabytes, or finds a hole in a decoder, harms nothing but this. Nothing else of ours is imported here.
"""

import resource
import sys
from io import BytesIO

SIZE = (360, 240)
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP")
"""What cameras send and browsers show; each decoder more is a risk more."""

MOST_PIXELS = 64_000_000
MEMORY = 2**30
SECONDS = 10
"""Of processor time."""


def main() -> int:
    """Scale; exit status 1 for what is no picture, or too large."""
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
    from PIL import Image, ImageOps, UnidentifiedImageError

    Image.MAX_IMAGE_PIXELS = MOST_PIXELS
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    try:
        with Image.open(sys.stdin.buffer, formats=FORMATS) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                return 1
            picture.draft("RGB", (SIZE[0] * 2, SIZE[1] * 2))  # a JPEG is decoded smaller from the start
            picture.thumbnail(SIZE)
            small = ImageOps.exif_transpose(picture).convert("RGBA")
    except (
        UnidentifiedImageError,
        OSError,
        ValueError,
        SyntaxError,
        EOFError,
        MemoryError,
        Image.DecompressionBombError,
    ):
        return 1
    flat = Image.new("RGB", small.size, "white")
    flat.paste(small, mask=small)
    made = BytesIO()
    flat.save(made, "JPEG", quality=80)
    sys.stdout.buffer.write(made.getvalue())
    return 0


if __name__ == "__main__":
    sys.exit(main())
