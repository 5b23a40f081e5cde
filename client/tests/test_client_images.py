"""Pictures become JPEGs that fit; the test pattern can be read back."""

import sys
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops

from plexwire_client import ImageError, ImagesMissing, jpeg_size
from plexwire_client._encoding import to_jpeg
from plexwire_client._jpeg import as_it_is
from plexwire_client.pattern import LARGEST, SMALLEST, make_pattern, read_counter
from plexwire_protocol.limits import MAX_JPEG_BYTES

RED = (200, 10, 20)


def in_format(name: str, mode: str = "RGB", colour: tuple[int, int, int] = RED) -> bytes:
    out = BytesIO()
    Image.new("RGB", (64, 48), colour).convert(mode).save(out, name)
    return out.getvalue()


def colour_of(jpeg: bytes) -> tuple[int, ...]:
    image = Image.open(BytesIO(jpeg)).convert("RGB")
    pixel = image.getpixel((image.width // 2, image.height // 2))
    assert isinstance(pixel, tuple)
    return pixel


def noise(width: int, height: int) -> bytes:
    """Return a JPEG that hardly compresses, darker above than below."""
    out = BytesIO()
    slope = Image.linear_gradient("L").resize((width, height))
    image = Image.blend(Image.effect_noise((width, height), 200), slope, 0.3)
    image.convert("RGB").save(out, "JPEG", quality=95)
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


@pytest.mark.parametrize("shape", [(4, 4, 2), (), (0, 4, 3), (1, 4, 4, 3), (4, 0)])
def test_device_raises_image_error_where_shape_is_no_picture(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match="must have the shape"):
        to_jpeg(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("thing", [None, "front.jpg", [[1, 2]], 7])
def test_device_raises_image_error_where_thing_is_no_picture(thing: object) -> None:
    with pytest.raises(ImageError, match="must be bytes, an array or an image of Pillow's, not "):
        to_jpeg(thing)  # type: ignore[arg-type]


# ── depths: what is not 8 bits is scaled or refused, never cut ───────────────────────────────

#: Every kind of numpy's that a picture could be made of, in both byte orders where it has one.
KINDS = [
    *("u1", "<u2", ">u2", "?"),
    *("i1", "<i2", "<i4", ">i8", "<u4", "<u8", "<f2", "<f4", "<f8", "<c8", "O", "U4", "M8[s]"),
]
SCALED = {"u1": 255, "<u2": 65_535, ">u2": 65_535, "?": 1}
#: Pillow's modes, with the white of each; None for those of which nobody can know.
MODES: dict[str, object] = {
    "1": 255,
    "L": 255,
    "P": 255,
    "LA": (255, 255),
    "PA": (255, 255),
    "RGB": (255,) * 3,
    "RGBA": (255,) * 4,
    "RGBX": (255,) * 4,
    "RGBa": (255,) * 4,
    "La": (255, 255),
    "CMYK": (0, 0, 0, 0),
    "YCbCr": (255, 128, 128),
    "HSV": (0, 0, 255),
    "LAB": (255, 128, 128),
    "I;16": 65_535,
    "I;16L": 65_535,
    "I;16B": 65_535,
    "I": None,
    "F": None,
}


@settings(deadline=None)
@given(st.sampled_from(KINDS), st.integers(0, 255), st.sampled_from([(), (1,), (3,), (4,)]))
def test_device_scales_array_of_any_kind_to_8_bits_or_refuses_it(
    kind: str, level: int, channels: tuple[int, ...]
) -> None:
    white = SCALED.get(kind)
    array = np.zeros((16, 16, *channels), np.dtype(kind))
    if white is None:
        with pytest.raises(
            ImageError, match=r"^An array must be uint8, uint16 or bool, not [^:]+: "
        ):
            to_jpeg(array)
        return
    array[:] = level * white // 255
    shown = level if white > 1 else 255 * (level == 255)
    assert colour_of(to_jpeg(array).data) == pytest.approx((shown,) * 3, abs=2)


@settings(deadline=None)
@given(st.sampled_from(sorted(MODES)), st.integers(1, 40), st.integers(1, 40), st.booleans())
def test_device_shows_image_of_any_mode_as_it_is_or_refuses_it(
    mode: str, width: int, height: int, white: bool
) -> None:
    colour = MODES[mode]
    image = Image.new(mode, (width, height))
    if colour is None:
        with pytest.raises(ImageError, match="32 bits per pixel: scale it"):
            to_jpeg(image)
        return
    if mode in ("P", "PA"):
        image.putpalette(bytes(range(256)) * 3)
    if white:
        image.paste(colour, (0, 0, width, height))  # type: ignore[arg-type]
        assert colour_of(to_jpeg(image).data) == pytest.approx((255,) * 3, abs=3)
    assert jpeg_size(to_jpeg(image).data) == (width, height)


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B"])
def test_device_scales_16_bits_evenly_from_black_to_white(mode: str) -> None:
    array = (
        np.linspace(0, 65_535, 64 * 256)
        .reshape(64, 256)
        .astype(">u2" if mode[-1] == "B" else "<u2")
    )
    image = Image.frombytes(mode, (256, 64), array.tobytes())
    out = BytesIO()
    Image.fromarray(array.astype("<u2")).save(out, "PNG")
    for picture in (image, out.getvalue(), array):
        shown = np.asarray(Image.open(BytesIO(to_jpeg(picture, quality=95).data)))
        assert shown.shape == (64, 256)
        assert np.abs(shown.astype(int) - (array >> 8)).max() <= 4


def test_device_shows_palette_without_a_warning_where_it_is_transparent() -> None:
    image = Image.new("P", (16, 16))
    image.putpalette(bytes(RED) * 256)
    image.info["transparency"] = bytes(range(256))
    assert colour_of(to_jpeg(image).data) == pytest.approx(RED, abs=12)


@pytest.mark.parametrize("size", [(70_000, 8), (8, 70_000)])
def test_device_makes_picture_smaller_where_a_side_is_longer_than_jpeg_has(
    size: tuple[int, int],
) -> None:
    jpeg = to_jpeg(Image.new("L", size))
    assert max(jpeg.width, jpeg.height) == 65_500


# ── files in arrays, as `imencode` returns them ──────────────────────────────────────────────


@settings(deadline=None)
@given(st.sampled_from(["JPEG", "PNG", "WEBP"]), st.sampled_from([(-1,), (-1, 1), (1, -1)]))
def test_device_takes_array_of_an_encoded_picture_for_that_picture(
    name: str, shape: tuple[int, ...]
) -> None:
    data = in_format(name)
    array = np.frombuffer(data, np.uint8).reshape(shape)
    passed = as_it_is(array)
    assert (passed is None) == (name != "JPEG")
    if passed is not None:
        assert passed.data == data
    jpeg = to_jpeg(array)
    assert (jpeg.width, jpeg.height) == (64, 48)
    assert colour_of(jpeg.data) == pytest.approx(RED, abs=12)


@pytest.mark.parametrize("shape", [(64, 1), (1, 64)])
def test_device_takes_row_or_column_of_pixels_for_a_picture(shape: tuple[int, int]) -> None:
    jpeg = to_jpeg(np.full(shape, 77, np.uint8))
    assert (jpeg.height, jpeg.width) == shape


def test_device_raises_image_error_where_flat_array_is_no_file() -> None:
    with pytest.raises(ImageError, match="can't be read"):
        to_jpeg(np.zeros(64, np.uint8))


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
    # Noise is lost, the brightness of each part is not.
    small = [
        Image.open(BytesIO(each)).convert("L").resize((8, 6), Image.Resampling.BOX)
        for each in (picture, jpeg.data)
    ]
    assert max(ImageChops.difference(*small).tobytes()) <= 4


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
    "data",
    [
        *(b"", b"\xff\xd8", in_format("JPEG"), noise(640, 360), noise(8, 8)),
        *(in_format("JPEG", colour=colour) for colour in ((0, 0, 0), (255, 255, 255))),
    ],
)
def test_pattern_raises_image_error_where_there_is_no_counter(data: bytes) -> None:
    with pytest.raises(ImageError):
        read_counter(data)
