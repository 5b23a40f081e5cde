"""Pictures of any kind become JPEGs that fit: passed through where they are, encoded by Pillow where they are not.

Pillow is an extra and loaded when it is needed.  Encoding takes tens of milliseconds: call it in a thread.
"""

from io import BytesIO
from math import sqrt
from typing import TYPE_CHECKING, Final, TypeAlias, TypeGuard

from attrs import frozen

from plexwire_client._errors import ImageError, ImagesMissing
from plexwire_client._jpeg import jpeg_size
from plexwire_protocol import JPEG_START, MAX_JPEG_BYTES

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL.Image import Image

#: What a device can send: JPEG, PNG, BMP or WebP as bytes; an array (height, width) or (height, width, channels) of
#: uint8 with the colours in OpenCV's order, blue first; or an image of Pillow's.
Picture: TypeAlias = "bytes | bytearray | memoryview | npt.NDArray[np.uint8] | Image"

#: JPEG quality unless asked otherwise, from 1 to 95.
DEFAULT_QUALITY: Final = 85

_LOWEST_QUALITY: Final = 35
_QUALITY_STEP: Final = 0.8
_FORMATS: Final = ("JPEG", "PNG", "BMP", "WEBP")
#: How Pillow reads rows of so many channels: as which mode, from which order.
_CHANNELS: Final = {1: ("L", "L"), 3: ("RGB", "BGR"), 4: ("RGB", "BGRX")}


@frozen
class Jpeg:
    """A picture that can be sent; its size is 0 x 0 where it can't be read.  `reencoded`: it was too large as it was."""

    data: bytes
    width: int
    height: int
    reencoded: bool = False


def as_it_is(picture: Picture, *, limit: int = MAX_JPEG_BYTES) -> Jpeg | None:
    """Return *picture* where it is a JPEG of at most *limit* bytes, untouched, and None where it has to be encoded."""
    if not isinstance(picture, bytes | bytearray | memoryview):
        return None
    data = bytes(picture)
    if not data.startswith(JPEG_START) or len(data) > limit:
        return None
    width, height = jpeg_size(data) or (0, 0)
    return Jpeg(data, width, height)


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
    if isinstance(picture, bytes | bytearray | memoryview):
        data = bytes(picture)
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


def _from_array(array: "npt.NDArray[np.uint8] | Image") -> "Image":
    try:
        from PIL import Image
    except ImportError:
        raise ImagesMissing("An array") from None
    shape = tuple(int(side) for side in getattr(array, "shape", ()))
    kind = str(getattr(array, "dtype", type(array).__name__))
    channels = shape[2] if len(shape) == 3 else 1
    if kind != "uint8" or len(shape) not in (2, 3) or channels not in _CHANNELS or 0 in shape:
        raise ImageError(
            f"An array must be uint8 of shape (height, width) or (height, width, 1, 3 or 4), not {kind} {shape}"
        )
    mode, order = _CHANNELS[channels]
    height, width = shape[:2]
    return Image.frombuffer(mode, (width, height), array.tobytes(), "raw", order, 0, 1)


def _encode(image: "Image", quality: int, limit: int, *, reencoded: bool = False) -> Jpeg:
    if image.mode not in ("RGB", "L"):
        image = _convert(image)
    while len(data := _save(image, quality)) > limit:
        reencoded = True
        if quality > _LOWEST_QUALITY:
            quality = max(_LOWEST_QUALITY, int(quality * _QUALITY_STEP))
            continue
        if image.size == (1, 1):
            raise ImageError(f"The picture can't be made to fit into {limit} bytes")
        scale = min(0.75, sqrt(limit / len(data)))
        width, height = (max(1, int(side * scale)) for side in image.size)
        image = image.resize((width, height))
    return Jpeg(data, *image.size, reencoded)


def _convert(image: "Image") -> "Image":
    try:
        return image.convert("RGB")
    except ValueError as error:
        raise ImageError(f"The picture's colours can't be written as JPEG: {error}") from None


def _save(image: "Image", quality: int) -> bytes:
    out = BytesIO()
    try:
        # Pillow would copy the source's comment, which takes room; before 13.0, a long one broke its buffer.
        image.save(out, "JPEG", quality=quality, comment=b"")
    except (OSError, ValueError) as error:
        raise ImageError(f"The picture can't be written as JPEG: {error}") from None
    return out.getvalue()
