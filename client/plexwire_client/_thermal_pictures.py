"""A thermal camera's temperatures become a picture in false colours, and the members that travel beside it.

Pillow and numpy are extras and loaded when they are needed.  Rendering takes milliseconds: call it in a thread.
"""

from functools import cache
from math import ceil
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from attrs import frozen

from plexwire_client._encoding import to_jpeg
from plexwire_client._errors import ImageError, ImagesMissing
from plexwire_client._jpeg import DEFAULT_QUALITY, Jpeg
from plexwire_protocol import JsonValue

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

#: Degrees Celsius, row by row: an array (height, width) of any real kind, or rows of numbers.  NaN was not measured.
Temperatures: TypeAlias = (
    "npt.NDArray[np.floating[Any]] | npt.NDArray[np.integer[Any]] | Sequence[Sequence[float]]"
)

#: Sensors of more pixels than this send no `temps` unless asked to, as with the SDK: 64 x 64.
LARGEST_WITH_TEMPS: Final = 4096
#: The longer side, in pixels, that the picture of a smaller sensor is brought to.
SHOWN_SIDE: Final = 480
#: The longest side, in sensor pixels, of the scene that is made up for tests.
LARGEST_SCENE: Final = 2048
#: Digits behind the point in °C: sensors resolve 0.05 °C at best, and every digit counts in a text message.
DIGITS: Final = 2
#: Nothing that a sensor sees has so many °C: it is a mark for what was not measured, as NaN and infinity are.
_HOTTEST: Final = 1e6
#: Where the colours begin, change and end, from cold to hot; each is brighter than the one before, also in grey.
_EMBER: Final = ((8, 6, 32), (72, 16, 112), (196, 48, 88), (248, 148, 32), (255, 250, 208))
_NOT_MEASURED: Final = (112, 124, 128)
_LEVELS: Final = 256


@frozen
class ThermalPicture:
    """What `render_thermal` makes: the picture, and its thermal members in the order of the specification."""

    jpeg: Jpeg
    members: dict[str, JsonValue]


def render_thermal(
    temps: Temperatures,
    *,
    span: tuple[float, float] | None = None,
    with_temps: bool | None = None,
    quality: int = DEFAULT_QUALITY,
) -> ThermalPicture:
    """Return *temps* as a picture in false colours, made larger by a whole factor where the sensor is small.

    *span* is what is shown as coldest and hottest, in °C, by default the picture's own extremes.  *with_temps* says
    whether every pixel's temperature goes along, by default those of a sensor of at most 4096 pixels.

    Raises:
        ImagesMissing: Pillow or numpy is not installed.
        ImageError: *temps* is no picture, or *span* no span.

    """
    try:
        import numpy as np
        from PIL import Image
    except ImportError:
        raise ImagesMissing("A thermal picture") from None
    celsius = _as_array(temps)
    height, width = celsius.shape
    measured = np.abs(celsius) < _HOTTEST
    known = celsius[measured]
    members: dict[str, JsonValue] = {
        "video_type": "thermal",
        "sensor_width": width,
        "sensor_height": height,
    }
    low, high = (0.0, 0.0) if not known.size else (float(known.min()), float(known.max()))
    if known.size:
        members |= {"temp_min": round(low, DIGITS), "temp_max": round(high, DIGITS)}
    if with_temps or (with_temps is None and celsius.size <= LARGEST_WITH_TEMPS):
        # NaN, which is not JSON, goes out as `null`, and keeps the place of its pixel.  [PW-THERM-2]
        degrees = np.where(measured, celsius, np.nan).round(DIGITS)
        members["temps"] = degrees.ravel().tolist()
    if span is not None:
        low, high = span
        if not (np.isfinite(low) and np.isfinite(high) and low < high):
            raise ImageError(f"A span of temperatures is a lower and a higher number, not {span}")
    with np.errstate(over="ignore"):
        share = np.where(measured, celsius - low, 0) / (high - low) if high > low else measured / 2
    levels = Image.fromarray((share.clip(0, 1) * (_LEVELS - 1)).round().astype(np.uint8))
    factor = max(1, ceil(SHOWN_SIDE / max(width, height)))
    shown = levels.resize((width * factor, height * factor), Image.Resampling.BICUBIC)
    shown.putpalette(_palette())
    shown = shown.convert("RGB")
    if known.size < celsius.size:
        gaps = Image.fromarray((~measured).astype(np.uint8) * 255)
        gaps = gaps.resize(shown.size, Image.Resampling.NEAREST)
        shown.paste(_NOT_MEASURED, (0, 0, *shown.size), gaps)
    return ThermalPicture(to_jpeg(shown, quality=quality), members)


def _as_array(temps: Temperatures) -> "npt.NDArray[np.float64]":
    import numpy as np

    try:
        celsius = np.asarray(temps, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ImageError("Temperatures are rows of numbers, all of one length") from None
    if celsius.ndim != 2 or not celsius.size:
        raise ImageError(f"Temperatures are an array of shape (height, width), not {celsius.shape}")
    return celsius


@cache
def _palette() -> tuple[int, ...]:
    """Return red, green and blue of every level, in one row."""
    steps = len(_EMBER) - 1
    row = []
    for level in range(_LEVELS):
        at = level / (_LEVELS - 1) * steps
        index = min(int(at), steps - 1)
        row += [
            round(cold + (hot - cold) * (at - index))
            for cold, hot in zip(_EMBER[index], _EMBER[index + 1], strict=True)
        ]
    return tuple(row)


def make_thermal_scene(number: int, width: int = 64, height: int = 48) -> "npt.NDArray[np.float64]":
    """Return temperatures number *number* of a moving scene: a warm body and a hot spot circle in a cool room.

    Raises:
        ImagesMissing: numpy is not installed.
        ImageError: the size is over 2048 x 2048, or nothing.

    """
    if not (1 <= width <= LARGEST_SCENE and 1 <= height <= LARGEST_SCENE):
        raise ImageError(
            f"A thermal scene has at most {LARGEST_SCENE} x {LARGEST_SCENE} pixels, not {width} x {height}"
        )
    try:
        import numpy as np
    except ImportError:
        raise ImagesMissing("The thermal scene") from None
    down, across = np.mgrid[0:height, 0:width]
    celsius: npt.NDArray[np.float64] = 19.0 + 3.0 * down / height

    def warm(x: float, y: float, radius: float, degrees: float) -> None:
        nonlocal celsius
        away = ((across / width - x) / radius) ** 2 + ((down / height - y) / radius) ** 2
        celsius = celsius + degrees * np.exp(-away)

    turn = number * 2 * np.pi / 150
    warm(0.5 + 0.25 * np.sin(turn), 0.55 + 0.1 * np.cos(2 * turn), 0.16, 14.5)
    warm(0.5 + 0.4 * np.cos(1.7 * turn), 0.5 + 0.35 * np.sin(1.7 * turn), 0.05, 38.0)
    return celsius
