"""Pictures of any kind become JPEGs that fit: passed through where they are, encoded by Pillow where they are not.

Pillow is an extra and loaded when it is needed.  Encoding takes tens of milliseconds: call it in a thread.
"""

from io import BytesIO
from math import sqrt
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from plexwire_client._errors import ImageError, ImagesMissing
from plexwire_client._jpeg import DEFAULT_QUALITY, Jpeg, Picture, as_it_is, encoded_bytes
from plexwire_protocol import JPEG_START
from plexwire_protocol.limits import MAX_JPEG_BYTES

if TYPE_CHECKING:
    from PIL.Image import Image

_LOWEST_QUALITY: Final = 35
_QUALITY_STEP: Final = 0.8
_FORMATS: Final = ("JPEG", "PNG", "BMP", "WEBP")
#: How Pillow reads rows of so many channels: as which mode, from which order.
_CHANNELS: Final = {1: ("L", "L"), 3: ("RGB", "BGR"), 4: ("RGB", "BGRX")}

#: The longest side that libjpeg writes, in pixels.
_LONGEST_SIDE: Final = 65_500
#: Modes of Pillow's that don't become RGB in one step, or would drag a transparent colour along.
_STEPS: Final = {
    "1": ("L",),
    "LA": ("L",),
    "La": ("LA", "L"),
    "P": ("RGBA", "RGB"),
    "PA": ("RGBA", "RGB"),
    "RGBa": ("RGBA", "RGB"),
}


def to_jpeg(
    picture: Picture, *, quality: int = DEFAULT_QUALITY, limit: int = MAX_JPEG_BYTES
) -> Jpeg:
    """Return *picture* as a JPEG of at most *limit* bytes.

    A JPEG within the limit is passed through as it is.  What comes out larger is encoded again, first with less
    quality, then with fewer pixels.  [PW-LIM-5]

    Raises:
        ImagesMissing: Pillow is needed and not installed.
        ImageError: it is no picture, or can't be made to fit.

    """
    if (jpeg := as_it_is(picture, limit=limit)) is not None:
        return jpeg
    if (data := encoded_bytes(picture)) is not None:
        is_jpeg = data.startswith(JPEG_START)
        what = f"A JPEG over {limit} bytes" if is_jpeg else "A picture that is not a JPEG"
        return _encode(_decode(data, what), quality, limit, reencoded=is_jpeg)
    if _is_pillow_image(picture):
        return _encode(picture, quality, limit)
    return _encode(_from_array(picture), quality, limit)


def _is_pillow_image(picture: object) -> "TypeGuard[Image]":
    # Without importing Pillow: who has an image of it, has it loaded.
    return any(base.__module__ == "PIL.Image" for base in type(picture).__mro__)


def _decode(data: bytes, what: str) -> "Image":
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise ImagesMissing(what) from None
    try:
        image = Image.open(BytesIO(data), formats=_FORMATS)
        # Once encoded again the picture has no EXIF left that could say which side is up.
        return ImageOps.exif_transpose(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        known = ", ".join(_FORMATS)
        raise ImageError(f"The picture can't be read as any of {known}: {error}") from None


def _from_array(picture: Picture) -> "Image":
    try:
        from PIL import Image
    except ImportError:
        raise ImagesMissing("An array") from None
    array: Any = picture
    if not hasattr(array, "shape"):
        raise ImageError(
            f"A picture must be bytes, an array or an image of Pillow's, not {type(array).__name__}"
        )
    shape = tuple(array.shape)
    kind = getattr(getattr(array, "dtype", type(array)), "name", type(array).__name__)
    channels = shape[2] if len(shape) == 3 else 1
    if len(shape) not in (2, 3) or channels not in _CHANNELS or 0 in shape:
        raise ImageError(
            f"An array must have the shape (height, width) or (height, width, 1, 3 or 4), not {shape}"
        )
    match kind:
        case "uint8":
            pass
        case "uint16":
            array = (array >> 8).astype("uint8")
        case "bool":
            array = array.astype("uint8") * 255
        case _:
            # Whether 1.0 or 255.0 is white, only the caller knows.
            raise ImageError(
                f"An array must be uint8, uint16 or bool, not {kind}: scale it to 0..255 and convert it to uint8"
            )
    mode, order = _CHANNELS[channels]
    height, width = shape[:2]
    return Image.frombuffer(mode, (width, height), array.tobytes(), "raw", order, 0, 1)


def _encode(image: "Image", quality: int, limit: int, *, reencoded: bool = False) -> Jpeg:
    image = _to_eight_bits(image)
    if max(image.size) > _LONGEST_SIDE:
        image = _shrunk(image, _LONGEST_SIDE / max(image.size))
    while len(data := _save(image, quality)) > limit:
        reencoded = True
        if quality > _LOWEST_QUALITY:
            quality = max(_LOWEST_QUALITY, int(quality * _QUALITY_STEP))
            continue
        if image.size == (1, 1):
            raise ImageError(f"The picture can't be made to fit into {limit} bytes")
        scale = min(0.75, sqrt(limit / len(data)))
        image = _shrunk(image, scale)
    return Jpeg(data, *image.size, reencoded)


def _shrunk(image: "Image", scale: float) -> "Image":
    width, height = (max(1, int(side * scale)) for side in image.size)
    return image.resize((width, height))


def _to_eight_bits(image: "Image") -> "Image":
    """Return *image* in RGB or L.

    Pillow's own conversion shows all above 255 of the 65,535 levels of 16 bits as white.
    """
    mode = image.mode
    if mode in ("RGB", "L"):
        return image
    if mode.startswith("I;16"):
        return _high_bytes(image)
    if mode in ("I", "F"):
        raise ImageError(
            f"A picture of Pillow's mode {mode} has 32 bits per pixel: scale it to 0..255 and convert it to L"
        )
    try:
        for step in _STEPS.get(mode, ("RGB",)):
            image = image.convert(step)
    except ValueError as error:
        raise ImageError(f"The picture's colours can't be written as JPEG: {error}") from None
    return image


def _high_bytes(image: "Image") -> "Image":
    from PIL import Image

    # Mode I is the one that all byte orders of 16 bits convert to without loss.
    big_endian = image.convert("I").tobytes("raw", "I;16B")
    return Image.frombytes("L", image.size, big_endian[::2])


def _save(image: "Image", quality: int) -> bytes:
    out = BytesIO()
    try:
        # Pillow would copy the source's comment, which takes room; before 13.0, a long one broke its buffer.
        image.save(out, "JPEG", quality=quality, comment=b"")
    except (OSError, ValueError) as error:
        raise ImageError(f"The picture can't be written as JPEG: {error}") from None
    return out.getvalue()
