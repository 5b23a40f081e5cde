"""Thermal pictures on their way: temperatures, the message, and temperatures and colours again."""

import json
import math
import sys
import warnings
from contextlib import suppress
from io import BytesIO

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageOps

from plexwire_client import (
    ImageError,
    ImagesMissing,
    jpeg_size,
)
from plexwire_client._decoding import decode_to_array
from plexwire_client._thermal_pictures import LARGEST_WITH_TEMPS, _palette, render_thermal
from plexwire_client.pictures import (
    Temperatures,
    frame_to_array,
    frame_to_image,
    frame_to_temps,
    make_thermal_scene,
)
from plexwire_protocol import JsonValue, Role, VideoFrame, decode, encode
from plexwire_protocol.limits import MAX_MESSAGE_BYTES

Celsius = npt.NDArray[np.float64]

sensors = arrays.arrays(
    np.float64,
    st.tuples(st.integers(1, 24), st.integers(1, 32)),
    elements=st.floats(-273.15, 3000) | st.just(math.nan),
)
spans = st.none() | st.tuples(st.floats(-50, 20), st.floats(21, 2000))


def framed(temps: Temperatures, span: tuple[float, float] | None = None) -> VideoFrame:
    thermal = render_thermal(temps, span=span)
    return VideoFrame(
        source_id="robot-01",
        camera_id="thermal",
        jpeg=thermal.jpeg.data,
        width=thermal.jpeg.width,
        height=thermal.jpeg.height,
        timestamp=1,
        extra=thermal.members,
    )


def sent(frame: VideoFrame) -> VideoFrame:
    """Return *frame* as it comes out of the wire at the other end."""
    text = encode(frame)
    assert len(text) <= MAX_MESSAGE_BYTES
    json.loads(text, parse_constant=pytest.fail)  # called for NaN and the infinities
    received = decode(text, sender=Role.DEVICE)
    assert isinstance(received, VideoFrame)
    return received


@settings(deadline=None, max_examples=60)
@given(sensors, spans)
@example(np.full((1, 1), math.nan), None)
@example(np.array([[math.inf, 20.0]]), None)
@example(np.array([[20.0, 20.0]]), (20.0, math.nextafter(20, 21)))
def test_device_thermal_frame_arrives_as_it_was_measured(
    temps: Celsius, span: tuple[float, float] | None
) -> None:
    frame = sent(framed(temps, span))
    measured = np.isfinite(temps)
    received = frame_to_temps(frame)
    assert received is not None
    assert received.shape == temps.shape
    assert np.isnan(received[~measured]).all()
    assert np.allclose(received[measured], temps[measured], atol=0.005001, rtol=0)
    assert jpeg_size(frame.jpeg) == (frame.width, frame.height)
    assert frame.width * temps.shape[0] == frame.height * temps.shape[1]
    assert frame.width % temps.shape[1] == 0
    if measured.any():
        assert frame.extra["temp_min"] == np.nanmin(received)
        assert frame.extra["temp_max"] == np.nanmax(received)
    else:
        assert "temp_min" not in frame.extra
        assert "temp_max" not in frame.extra


def test_device_takes_what_nothing_can_be_for_not_measured() -> None:
    frame = sent(framed([[1e30, 20.0, -1e7, math.inf]]))
    assert frame.extra["temps"] == [None, 20.0, None, None]
    assert frame.extra["temp_min"] == frame.extra["temp_max"] == 20.0


def test_thermal_palette_is_brighter_the_warmer_it_is() -> None:
    palette = np.array(_palette()).reshape(-1, 3)
    brightness = palette @ (0.299, 0.587, 0.114)
    assert len(palette) == 256
    assert (np.diff(brightness) > 0).all()


async def test_viewer_sees_warm_above_cold_above_not_measured() -> None:
    frame = sent(framed([[10.0, 40.0], [math.nan, 25.0]]))
    array = await frame_to_array(frame)
    height, width = array.shape[:2]
    cold, hot = array[height // 4, width // 8], array[height // 4, -width // 8]
    gap = array[height * 3 // 4, width // 4]
    assert hot.sum() > 600 > 150 > cold.sum()
    assert gap.tolist() == pytest.approx([128, 124, 112], abs=6)  # grey, as no warmth is
    assert (await frame_to_image(frame)).size == (width, height) == (480, 480)


async def test_device_shows_one_colour_for_one_temperature_where_span_is_fixed() -> None:
    alone = await frame_to_array(framed([[30.0] * 8] * 6, span=(20, 40)))
    beside_fire = await frame_to_array(framed([[30.0] * 7 + [900.0]] * 6, span=(20, 40)))
    assert np.abs(alone[240, 20].astype(int) - beside_fire[240, 20]).max() <= 2


def test_device_keeps_members_in_order_of_the_specification() -> None:
    assert list(render_thermal([[1, 2]]).members) == [
        "video_type", "sensor_width", "sensor_height", "temp_min", "temp_max", "temps",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "with_temps", "there"),
    [
        ((64, 64), None, True),
        ((64, 64), False, False),
        ((65, 64), None, False),
        ((192, 256), None, False),
        ((192, 256), True, True),
    ],
)
def test_device_leaves_temps_out_where_sensor_is_large_unless_told(
    shape: tuple[int, int], with_temps: bool | None, there: bool
) -> None:
    assert (shape[0] * shape[1] <= LARGEST_WITH_TEMPS) == (shape == (64, 64))
    thermal = render_thermal(np.full(shape, 21.5), with_temps=with_temps)
    assert ("temps" in thermal.members) == there
    assert thermal.members["sensor_width"] == shape[1]


def test_device_brings_small_sensors_to_480_pixels_and_leaves_large_ones() -> None:
    sizes = {
        (24, 32): (480, 360),
        (60, 80): (480, 360),
        (192, 256): (512, 384),
        (512, 640): (640, 512),
    }
    for (height, width), shown in sizes.items():
        jpeg = render_thermal(np.zeros((height, width))).jpeg
        assert (jpeg.width, jpeg.height) == shown


@pytest.mark.parametrize("kind", [np.float32, np.int16, np.uint16, np.float16])
def test_device_takes_arrays_of_any_real_kind(kind: type) -> None:
    temps = np.arange(20, 32).reshape(3, 4)
    assert render_thermal(temps.astype(kind)).members == render_thermal(temps.tolist()).members


@pytest.mark.parametrize(
    "temps",
    [[], [[]], [1.0], [[1.0], [1.0, 2.0]], [["warm"]], [[[1.0]]], [[1j]], [[10**400]], None],
)
def test_device_raises_image_error_where_temperatures_are_no_picture(temps: Temperatures) -> None:
    with pytest.raises(ImageError, match="Temperatures are"):
        render_thermal(temps)


@pytest.mark.parametrize("span", [(20, 20), (30, 20), (math.nan, 20), (0, math.inf)])
def test_device_raises_image_error_where_span_is_none(span: tuple[float, float]) -> None:
    with pytest.raises(ImageError, match="span"):
        render_thermal([[20.0]], span=span)


def test_thermal_scene_moves_within_room_temperatures() -> None:
    first, second = make_thermal_scene(0), make_thermal_scene(1)
    assert first.shape == (48, 64)
    assert not np.array_equal(first, second)
    assert np.array_equal(first, make_thermal_scene(0))
    assert 15 < first.min() < first.max() < 100


def test_device_names_the_extra_where_numpy_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(ImagesMissing, match=r"plexwire\[images\]"):
        render_thermal([[20.0]])
    with pytest.raises(ImagesMissing, match=r"plexwire\[images\]"):
        make_thermal_scene(1)


# ── frames that are decoded ──────────────────────────────────────────────────────────────────


def picture(jpeg: bytes, **extra: JsonValue) -> VideoFrame:
    return VideoFrame(camera_id="thermal", jpeg=jpeg, width=0, height=0, timestamp=0, extra=extra)


def coloured(mode: str, colour: tuple[int, ...] | int, **options: object) -> VideoFrame:
    out = BytesIO()
    Image.new(mode, (64, 48), colour).save(out, "JPEG", **options)
    return picture(out.getvalue())


async def test_viewer_gets_array_as_opencv_has_it_and_image_as_pillow_has_it() -> None:
    frame = coloured("RGB", (200, 40, 10))
    array = await frame_to_array(frame)
    assert array.shape == (48, 64, 3)
    assert array[24, 32].tolist() == pytest.approx([10, 40, 200], abs=4)
    image = await frame_to_image(frame)
    assert image.mode == "RGB"
    assert image.getpixel((32, 24)) == pytest.approx((200, 40, 10), abs=4)


async def test_viewer_gets_three_colours_of_grey_and_the_right_side_up() -> None:
    assert (await frame_to_array(coloured("L", 90)))[24, 32].tolist() == [90, 90, 90]
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side
    assert (await frame_to_array(coloured("RGB", (1, 2, 3), exif=exif))).shape == (64, 48, 3)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_viewer_decodes_or_raises_image_error_whatever_a_frame_holds(data: st.DataObject) -> None:
    whole = render_thermal([[1, 2], [3, 4]]).jpeg.data
    cut = data.draw(st.integers(2, len(whole)))
    at = data.draw(st.integers(2, cut))
    jpeg = whole[:at] + data.draw(st.binary(max_size=8)) + whole[at:cut]
    with suppress(ImageError):
        array = decode_to_array(picture(jpeg))
        assert array.dtype == np.uint8
        assert array.flags.c_contiguous
        assert array.shape[2] == 3


@pytest.mark.parametrize("orientation", range(10))
async def test_viewer_puts_picture_upright_as_pillow_does(orientation: int) -> None:
    left, out, exif = Image.new("RGB", (64, 48)), BytesIO(), Image.Exif()
    left.paste((250, 120, 0), (0, 0, 24, 16))
    exif[0x0112] = orientation
    left.save(out, "JPEG", exif=exif, quality=95)
    image = await frame_to_image(picture(out.getvalue()))
    expected = ImageOps.exif_transpose(Image.open(out))
    assert image.size == expected.size
    assert image.tobytes() == expected.tobytes()
    assert not image.getexif()  # or whoever turns it by that would turn it twice


@settings(deadline=None)
@given(st.integers(10, 45), st.integers(0, 255))
@example(11, 0x00)  # its width is "maker"
def test_viewer_decodes_whatever_stands_in_a_tag_of_exif(at: int, byte: int) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x011A] = 6, "maker", 1.5
    jpeg = coloured("RGB", (1, 2, 3), exif=exif).jpeg
    at += jpeg.index(b"Exif") + 6
    with suppress(ImageError), warnings.catch_warnings(action="ignore"):
        assert decode_to_array(picture(jpeg[:at] + bytes((byte,)) + jpeg[at + 1 :])).size


async def test_viewer_raises_image_error_where_picture_claims_to_be_huge() -> None:
    # A frame header of 65500 x 65500, and nothing behind it.
    header = bytes.fromhex("ffd8 ffc0 0011 08 ffdc ffdc 03 012200 021101 031101")
    with pytest.raises(ImageError, match="too large"):
        await frame_to_image(picture(header))


@pytest.mark.parametrize(
    "members",
    [
        {"temps": [1, 2, 3]},
        {"temps": [1, 2, 3], "sensor_width": 2, "sensor_height": 2},
        {"temps": [], "sensor_width": 0, "sensor_height": 0},
        {"temps": [1], "sensor_width": -1, "sensor_height": -1},
        {"temps": "hot", "sensor_width": 3, "sensor_height": 1},
        {"temps": ["1"], "sensor_width": 1, "sensor_height": 1},
        {"temps": [True], "sensor_width": 1, "sensor_height": 1},
        {"temps": [10**400], "sensor_width": 1, "sensor_height": 1},
    ],
)
def test_viewer_raises_image_error_where_temps_fill_no_sensor(
    members: dict[str, JsonValue],
) -> None:
    with pytest.raises(ImageError, match="temperatures"):
        frame_to_temps(picture(b"\xff\xd8", **members))


def test_viewer_gets_no_temps_where_frame_has_none() -> None:
    assert frame_to_temps(picture(b"\xff\xd8")) is None
    assert frame_to_temps(picture(b"\xff\xd8", temps=None)) is None
