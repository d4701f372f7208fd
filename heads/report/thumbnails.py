"""Small pictures for the gallery."""

import base64
import io

from PIL import Image, ImageOps

SIDE = 112  # pixels, twice what the page shows at most on a phone
QUALITY = 80


def thumbnail(path: str) -> str:
    """A picture as a JPEG of at most SIDE x SIDE pixels without metadata, as a data URI; "" if it cannot be read."""
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith("I;16"):  # which Pillow would clip at 255
                upright = upright.point(lambda value: value / 256, "L")
            small = upright.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):  # gone or altered since it was embedded
        return ""
    small.thumbnail((SIDE, SIDE))
    out = io.BytesIO()
    small.save(out, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode("ascii")
