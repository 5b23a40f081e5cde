"""Pictures become JPEGs that fit; the test pattern can be read back."""

import sys
from io import BytesIO

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops

from plexwire_client import ImageError, ImagesMissing, jpeg_size
from plexwire_client._images import as_it_is, to_jpeg
from plexwire_client.pattern import LARGEST, SMALLEST, make_pattern, read_counter
from plexwire_protocol.limits import MAX_JPEG_BYTES

RED = (200, 10, 20)


def in_format(name: str, mode: str = "RGB") -> bytes:
    out = BytesIO()
    Image.new("RGB", (64, 48), RED).convert(mode).save(out, name)
    return out.getvalue()


def colour_of(jpeg: bytes) -> tuple[int, ...]:
    image = Image.open(BytesIO(jpeg)).convert("RGB")
    pixel = image.getpixel((image.width // 2, image.height // 2))
    assert isinstance(pixel, tuple)
    return pixel


def noise(width: int, height: int) -> bytes:
    out = BytesIO()
    Image.effect_noise((width, height), 200).convert("RGB").save(out, "JPEG", quality=95)
    return out.getvalue()


@settings(deadline=None)
@given(st.binary(max_size=100))
def test_device_passes_jpeg_through_untouched_where_it_fits(rest: bytes) -> None:
    data = b"\xff\xd8" + rest
    for given_as in (data, bytearray(data), memoryview(data)):
        assert to_jpeg(given_as).data == data


@pytest.mark.parametrize(
    ("name", "mode"),
    [("PNG", "RGB"), ("PNG", "RGBA"), ("PNG", "P"), ("BMP", "RGB"), ("WEBP", "RGB")],
)
def test_device_encodes_other_formats(name: str, mode: str) -> None:
    data = in_format(name, mode)
    assert as_it_is(data) is None
    jpeg = to_jpeg(data)
    assert (jpeg.width, jpeg.height, jpeg.reencoded) == (64, 48, False)
    assert jpeg_size(jpeg.data) == (64, 48)
    assert colour_of(jpeg.data) == pytest.approx(RED, abs=12)


def test_device_encodes_arrays_as_opencv_has_them() -> None:
    array = np.empty((48, 64, 3), np.uint8)
    array[:] = RED[::-1]
    grey = np.full((48, 64), 77, np.uint8)
    with_alpha = np.dstack([array, np.zeros((48, 64), np.uint8)])
    for each in (array, array[::1, ::-1], with_alpha, np.asfortranarray(array)):
        jpeg = to_jpeg(each)
        assert (jpeg.width, jpeg.height) == (64, 48)
        assert colour_of(jpeg.data) == pytest.approx(RED, abs=12)
    for each in (grey, grey[:, :, np.newaxis]):
        assert colour_of(to_jpeg(each).data) == pytest.approx((77, 77, 77), abs=3)


def test_device_encodes_images_of_pillow() -> None:
    image = Image.new("RGB", (64, 48), RED)
    assert colour_of(to_jpeg(image).data) == pytest.approx(RED, abs=12)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((4,), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
    ],
)
def test_device_raises_image_error_where_array_is_no_picture(
    array: npt.NDArray[np.uint8],
) -> None:
    with pytest.raises(ImageError, match="uint8 of shape"):
        to_jpeg(array)


@pytest.mark.parametrize(
    "data", [b"", b"no picture", in_format("PNG")[:60], in_format("GIF"), b"\xff\xd8" + bytes(MAX_JPEG_BYTES)]
)  # fmt: skip
def test_device_raises_image_error_where_bytes_are_no_picture(data: bytes) -> None:
    with pytest.raises(ImageError):
        to_jpeg(data)


def test_device_makes_picture_smaller_until_it_fits() -> None:
    picture = noise(1200, 900)
    assert len(picture) > MAX_JPEG_BYTES
    jpeg = to_jpeg(picture)
    assert len(jpeg.data) <= MAX_JPEG_BYTES
    assert jpeg.reencoded
    assert (jpeg.width, jpeg.height) == jpeg_size(jpeg.data)
    original = Image.open(BytesIO(picture)).resize(jpeg_size(jpeg.data) or (1, 1))
    difference = ImageChops.difference(original, Image.open(BytesIO(jpeg.data)))
    assert difference.convert("L").getextrema() != (0, 0)


@settings(deadline=None, max_examples=20)
@given(st.integers(700, 20_000), st.integers(1, 200), st.integers(1, 200), st.integers(1, 95))
def test_device_fits_any_picture_into_any_limit(
    limit: int, width: int, height: int, quality: int
) -> None:
    jpeg = to_jpeg(Image.effect_noise((width, height), 200), quality=quality, limit=limit)
    assert len(jpeg.data) <= limit
    assert jpeg_size(jpeg.data) == (jpeg.width, jpeg.height)


def test_device_raises_image_error_where_nothing_could_fit() -> None:
    with pytest.raises(ImageError, match="can't be made to fit"):
        to_jpeg(Image.new("RGB", (64, 48)), limit=100)


def test_device_keeps_the_right_side_up_where_exif_said_so() -> None:
    image = Image.new("RGB", (64, 48), RED)
    exif = Image.Exif()
    exif[0x0112] = 6
    out = BytesIO()
    image.save(out, "PNG", exif=exif)
    jpeg = to_jpeg(out.getvalue())
    assert (jpeg.width, jpeg.height) == (48, 64)


@pytest.mark.parametrize("picture", [in_format("PNG"), np.zeros((4, 4), np.uint8)])
def test_device_names_the_extra_where_pillow_is_missing(
    picture: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImagesMissing, match=r"plexwire\[images\]"):
        to_jpeg(picture)
    with pytest.raises(ImagesMissing, match=r"plexwire\[images\]"):
        make_pattern(1, 640, 360)
    with pytest.raises(ImagesMissing, match=r"plexwire\[images\]"):
        read_counter(picture)
    assert to_jpeg(b"\xff\xd8").data == b"\xff\xd8"


# ── the test pattern ─────────────────────────────────────────────────────────────────────────

counters = st.integers(0, 2**32 - 1)
sizes = st.tuples(st.integers(SMALLEST[0], 700), st.integers(SMALLEST[1], 500))


@settings(deadline=None, max_examples=40)
@given(counters, sizes, st.text(max_size=8))
def test_pattern_counter_is_read_back(counter: int, size: tuple[int, int], label: str) -> None:
    jpeg = make_pattern(counter, *size, label=label)
    assert jpeg_size(jpeg) == size
    assert read_counter(jpeg) == counter


@settings(deadline=None, max_examples=20)
@given(counters, st.integers(10, 95), st.integers(50, 100))
def test_pattern_counter_is_read_back_where_picture_was_encoded_again(
    counter: int, quality: int, percent: int
) -> None:
    image = Image.open(BytesIO(make_pattern(counter, 640, 360)))
    out = BytesIO()
    image.resize((640 * percent // 100, 360 * percent // 100)).save(out, "JPEG", quality=quality)
    assert read_counter(out.getvalue()) == counter


def test_pattern_is_pure_and_moves() -> None:
    assert make_pattern(5, 320, 240) == make_pattern(5, 320, 240)
    first, second = (Image.open(BytesIO(make_pattern(n, 320, 240))) for n in (5, 6))
    upper = (0, 0, 320, 170)
    assert ImageChops.difference(first.crop(upper), second.crop(upper)).getbbox() is not None


@pytest.mark.parametrize("size", [(0, 0), (63, 48), (64, 47), (LARGEST[0] + 1, 100), (-640, -360)])
def test_pattern_raises_image_error_where_size_is_out_of_range(size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match="64 x 48"):
        make_pattern(1, *size)


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8", in_format("JPEG"), noise(640, 360), noise(8, 8)]
)
def test_pattern_raises_image_error_where_there_is_no_counter(data: bytes) -> None:
    with pytest.raises(ImageError):
        read_counter(data)
