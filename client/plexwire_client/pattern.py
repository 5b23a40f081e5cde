"""A moving test pattern with a frame counter in the picture, for people as text and for programs as blocks.

    jpeg = make_pattern(42, 640, 360)
    assert read_counter(jpeg) == 42

Needs the extra `plexwire[images]`.
"""

import zlib
from functools import lru_cache
from io import BytesIO
from math import cos, pi, sin
from typing import TYPE_CHECKING, Final

from plexwire_client._errors import ImageError, ImagesMissing

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

#: The smallest pattern, width and height in pixels: below it the blocks don't survive JPEG.
SMALLEST: Final = (64, 48)
#: The largest pattern, width and height in pixels: beyond it a picture takes more memory than a test is worth.
LARGEST: Final = (8192, 8192)

_QUALITY: Final = 85
_COUNTER_BITS: Final = 32
_CHECK_BITS: Final = 16
#: Without it the check of 2**32 - 1 is all ones too, and a white picture would hold that counter.
_MIX: Final = 0x5555
_COLUMNS: Final = 16
_ROWS: Final = (_COUNTER_BITS + _CHECK_BITS) // _COLUMNS
_BARS: Final = (
    (235, 235, 235), (235, 200, 40), (40, 190, 210), (60, 180, 75),
    (200, 70, 170), (220, 60, 50), (50, 80, 200), (24, 26, 32),
)  # fmt: skip
_NIGHT: Final = (18, 22, 34)
_LIGHT: Final = (245, 246, 250)
_ACCENT: Final = (255, 170, 40)


def make_pattern(counter: int, width: int, height: int, *, label: str = "") -> bytes:
    """Return picture number *counter* of the moving test pattern as a JPEG.

    The same arguments give the same bytes.  The counter is taken modulo 2**32; *label*, such as a camera's name, is
    written beside it.

    Raises:
        ImagesMissing: Pillow is not installed.
        ImageError: the size is below 64 x 48 or over 8192 x 8192.

    """
    if not (SMALLEST[0] <= width <= LARGEST[0] and SMALLEST[1] <= height <= LARGEST[1]):
        raise ImageError(
            f"A test pattern has {SMALLEST[0]} x {SMALLEST[1]} to {LARGEST[0]} x {LARGEST[1]} pixels,"
            f" not {width} x {height}"
        )
    try:
        from PIL import ImageDraw
    except ImportError:
        raise ImagesMissing("The test pattern") from None
    counter %= 2**_COUNTER_BITS
    image = _background(width, height).copy()
    draw = ImageDraw.Draw(image)
    _draw_motion(draw, counter, width, height)
    _draw_text(draw, counter, label, width, height)
    _draw_blocks(draw, counter, width, height)
    out = BytesIO()
    image.save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()


def read_counter(jpeg: bytes) -> int:
    """Return the counter that `make_pattern` drew into *jpeg*, also after it was encoded again or made smaller.

    Raises:
        ImagesMissing: Pillow is not installed.
        ImageError: there is none to be read.

    """
    try:
        from PIL import Image, ImageStat
    except ImportError:
        raise ImagesMissing("Reading the test pattern") from None
    try:
        image = Image.open(BytesIO(jpeg)).convert("L")
    except (OSError, ValueError, SyntaxError) as error:
        raise ImageError(f"The picture can't be read: {error}") from None
    width, height = image.size
    if width < SMALLEST[0] or height < SMALLEST[1]:
        raise ImageError(f"A picture of {width} x {height} pixels is too small for a frame counter")
    word = 0
    for index in range(_ROWS * _COLUMNS):
        brightness = ImageStat.Stat(image.crop(_middle(_block(index, width, height)))).mean[0]
        word = word << 1 | (brightness >= 128)
    counter = word >> _CHECK_BITS
    if word != _word(counter):
        raise ImageError("The picture has no frame counter of the test pattern")
    return counter


def _word(counter: int) -> int:
    """Return the bits that the blocks show: the counter and a check over it."""
    check = (zlib.crc32(counter.to_bytes(_COUNTER_BITS // 8)) ^ _MIX) & (2**_CHECK_BITS - 1)
    return counter << _CHECK_BITS | check


def _block(index: int, width: int, height: int) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom of a block: all rows together take the lowest quarter of the picture."""
    row, column = divmod(index, _COLUMNS)
    top = height * 3 // 4
    return (
        width * column // _COLUMNS,
        top + (height - top) * row // _ROWS,
        width * (column + 1) // _COLUMNS - 1,
        top + (height - top) * (row + 1) // _ROWS - 1,
    )


def _middle(block: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """Return the inner half of *block*, at least a pixel, as a crop: JPEG blurs the edges."""
    left, top, right, bottom = block
    across, down = (right - left) // 4, (bottom - top) // 4
    return left + across, top + down, right - across + 1, bottom - down + 1


@lru_cache(maxsize=8)
def _background(width: int, height: int) -> "Image":
    from PIL import Image, ImageDraw

    image = Image.linear_gradient("L").resize((width, height))
    night = Image.new("RGB", (width, height), _NIGHT)
    dusk = Image.new("RGB", (width, height), (58, 66, 104))
    image = Image.composite(dusk, night, image)
    draw = ImageDraw.Draw(image)
    for index, colour in enumerate(_BARS):
        left = width * index // len(_BARS)
        right = width * (index + 1) // len(_BARS) - 1
        draw.rectangle((left, 0, right, height // 6), fill=colour)
    return image


def _draw_motion(draw: "ImageDraw", counter: int, width: int, height: int) -> None:
    """A ball on a closed curve, with a fading trail, and a scan line that crosses the bars."""
    top, bottom = height // 6, height * 3 // 4
    radius = max(2, min(width, bottom - top) // 12)
    for age in range(8, -1, -1):
        angle = (counter - age) * 2 * pi / 150
        x = width / 2 + (width / 2 - radius * 1.5) * sin(3 * angle)
        y = (top + bottom) / 2 + ((bottom - top) / 2 - radius * 1.5) * cos(2 * angle)
        size = radius * (1 - age / 12)
        share = (1 - age / 9) ** 2
        colour = tuple(
            round(dark + (light - dark) * share)
            for dark, light in zip((50, 58, 92), _ACCENT, strict=True)
        )
        draw.ellipse((x - size, y - size, x + size, y + size), fill=colour)
    line = counter * 2 * max(1, width // 320) % width
    draw.line((line, 0, line, top), fill=_LIGHT, width=max(1, width // 320))


def _draw_text(draw: "ImageDraw", counter: int, label: str, width: int, height: int) -> None:
    from PIL import ImageFont

    middle = (width / 2, (height // 6 + height * 3 // 4) / 2)
    stroke = max(1, height // 180)
    large = _font_size(width, height)
    for text, size, offset in ((f"{counter:06d}", large, 0.0), (label, large / 3, large * 0.75)):
        if text:
            draw.text(
                (middle[0], middle[1] + offset),
                text,
                fill=_LIGHT,
                font=ImageFont.load_default(size),
                anchor="mm",
                stroke_width=stroke,
                stroke_fill=_NIGHT,
            )


def _font_size(width: int, height: int) -> float:
    return max(10.0, min(height / 4, width / 6))


def _draw_blocks(draw: "ImageDraw", counter: int, width: int, height: int) -> None:
    word = _word(counter)
    for index in range(_ROWS * _COLUMNS):
        bit = word >> (_ROWS * _COLUMNS - 1 - index) & 1
        draw.rectangle(_block(index, width, height), fill=(255, 255, 255) if bit else (0, 0, 0))
