"""Frames decoded on request: as Pillow's images, as arrays in OpenCV's order, and as temperatures.

Pillow and numpy are extras and loaded when they are needed.
"""

from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

import trio

from plexwire_client._errors import ImageError, ImagesMissing, require_trio
from plexwire_client._jpeg import jpeg_size
from plexwire_protocol import VideoFrame

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL.Image import Image

#: Pixels beyond which nothing is decoded: a frame of 1 MB can claim to be gigabytes.
LARGEST_DECODED: Final = 8192 * 8192
#: The tag of EXIF that tells how the camera was held, and what puts each of its values right, in Pillow's words.
_ORIENTATION: Final = 0x0112
_LIES: Final[dict[object, str]] = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


async def frame_to_image(frame: VideoFrame) -> "Image":
    """Decode *frame*, in a thread, to an image of Pillow's in RGB with the right side up.

    Raises:
        NotInTrio: the program does not run Trio; `plexwire_client.blocking` has the same function for it.
        ImagesMissing: Pillow is not installed.
        ImageError: the picture can't be decoded: broken, cut short, or over 8192 x 8192 pixels.

    """
    require_trio("frame_to_image")
    return await trio.to_thread.run_sync(decode_to_image, frame)


async def frame_to_array(frame: VideoFrame) -> "npt.NDArray[np.uint8]":
    """Decode *frame*, in a thread, to an array (height, width, 3) of uint8, blue first, as OpenCV has it.

    Raises:
        NotInTrio: the program does not run Trio; `plexwire_client.blocking` has the same function for it.
        ImagesMissing: Pillow or numpy is not installed.
        ImageError: the picture can't be decoded: broken, cut short, or over 8192 x 8192 pixels.

    """
    require_trio("frame_to_array")
    return await trio.to_thread.run_sync(decode_to_array, frame)


def frame_to_temps(frame: VideoFrame) -> "npt.NDArray[np.float64] | None":
    """Return the temperatures of a thermal *frame*, °C as an array (height, width), NaN where the sensor had none.

    None where the frame brings none: it is no thermal one, or its sensor is large.

    Raises:
        ImagesMissing: numpy is not installed.
        ImageError: `temps` are not one number or `null` for every pixel of `sensor_width` x `sensor_height`.

    """
    temps: Any = frame.extra.get("temps")
    if temps is None:
        return None
    try:
        import numpy as np
    except ImportError:
        raise ImagesMissing("An array of temperatures") from None
    width, height = frame.extra.get("sensor_width"), frame.extra.get("sensor_height")
    if (
        not isinstance(temps, list | tuple)
        or not isinstance(width, int)
        or not isinstance(height, int)
        or width <= 0
        or height <= 0
        or width * height != len(temps)
    ):
        raise ImageError(f"The temperatures don't fill a sensor of {width} x {height} pixels")
    if not all(_is_temperature(each) for each in temps):
        raise ImageError("The temperatures are not all numbers")
    try:
        return np.array(temps, dtype=np.float64).reshape(height, width)  # None becomes NaN
    except OverflowError:
        raise ImageError("The temperatures are too large for any sensor") from None


def _is_temperature(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def decode_to_image(frame: VideoFrame) -> "Image":
    """Do what `frame_to_image` does, in this thread."""
    try:
        from PIL import Image
    except ImportError:
        raise ImagesMissing("Decoding a frame") from None
    try:
        # Looked at before Pillow sees it, which warns of large pictures by means that are not ours.
        _check_size(jpeg_size(frame.jpeg))
        image = Image.open(BytesIO(frame.jpeg), formats=("JPEG",))
        _check_size(image.size)
        lies = _LIES.get(image.getexif().get(_ORIENTATION))
        upright = image.convert("RGB")
        # What does this in Pillow writes all other tags anew, and trips over those that no camera would have set.
        upright.info.pop("exif", None)
        return upright if lies is None else upright.transpose(Image.Transpose[lies])
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ImageError(f"The frame can't be decoded: {error}") from None


def _check_size(size: tuple[int, int] | None) -> None:
    if size is not None and size[0] * size[1] > LARGEST_DECODED:
        raise ImageError(f"A picture of {size[0]} x {size[1]} pixels is too large to be decoded")


def decode_to_array(frame: VideoFrame) -> "npt.NDArray[np.uint8]":
    """Do what `frame_to_array` does, in this thread."""
    image = decode_to_image(frame)
    try:
        import numpy as np
    except ImportError:
        raise ImagesMissing("Decoding a frame to an array") from None
    return np.ascontiguousarray(np.asarray(image)[:, :, ::-1])
