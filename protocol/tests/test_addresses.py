"""The viewer's address, from and to a request target."""

from collections.abc import Callable
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from plexwire_protocol import DEVICE_PATH, AddressRefused, Refusal, StreamAddress
from plexwire_protocol import strategies as wire
from plexwire_protocol.limits import DEFAULT_CAMERA, MAX_CAMERAS, MAX_ID_BYTES, MAX_TIMEOUT_S

STREAM = "/v1/sources/drone-01/video/stream"


def refused(target: str) -> AddressRefused:
    with pytest.raises(AddressRefused) as caught:
        StreamAddress.parse(target)
    return caught.value


# ── there and back ───────────────────────────────────────────────────────────────────────────


@given(wire.addresses())
def test_address_is_read_back_from_its_target(address: StreamAddress) -> None:
    target = address.target()

    assert StreamAddress.parse(target) == address
    assert target.isascii()
    assert " " not in target


@given(wire.addresses(), st.sampled_from((quote, quote_plus)), st.data())
def test_address_is_read_as_any_library_writes_it(
    address: StreamAddress, quoting: Callable[..., str], data: st.DataObject
) -> None:
    """PW-ADDR-4, PW-ADDR-10: escapes, white space as `+`, strangers and timeout anywhere between the cameras."""
    others = [("utm_source", "mail & more"), ("Timeout", "0"), ("camera", "x")]
    if address.timeout is not None:
        others.append(("timeout", str(address.timeout)))
    parameters = [("camera_id", camera) for camera in address.cameras]
    for other in others:
        parameters.insert(data.draw(st.integers(0, len(parameters))), other)
    query = urlencode(parameters, quote_via=quoting)

    assert StreamAddress.parse(f"/v1/sources/{address.source_id}/video/stream?{query}") == address


@given(st.text(st.characters()))
@example("")
@example("?" * 3)
@example(f"{STREAM}?%00=%&camera_id=%00")
def test_parsing_returns_an_address_or_refuses_whatever_comes(target: str) -> None:
    for candidate in (target, f"{STREAM}?{target}", f"/v1/sources/{target}/video/stream"):
        try:
            address = StreamAddress.parse(candidate)
        except AddressRefused:
            continue
        assert StreamAddress.parse(address.target()) == address


# ── by example ───────────────────────────────────────────────────────────────────────────────


def test_address_looks_like_this() -> None:
    """PW-ADDR-1, PW-ADDR-2."""
    address = StreamAddress(source_id="drone-01", cameras=("front", "Heck & Dach/2"), timeout=60)

    assert (
        address.target() == f"{STREAM}?camera_id=front&camera_id=Heck%20%26%20Dach%2F2&timeout=60"
    )
    assert DEVICE_PATH == "/ws/device"


@pytest.mark.parametrize(
    ("query", "cameras", "timeout"),
    [
        ("", (DEFAULT_CAMERA,), None),
        ("?", (DEFAULT_CAMERA,), None),
        ("?&&", (DEFAULT_CAMERA,), None),
        ("?camera_id", ("",), None),
        ("?camera_id=", ("",), None),
        ("?camera_id=a&camera_id=b", ("a", "b"), None),
        ("?camera_id=b&camera_id=a&camera_id=b", ("b", "a"), None),
        ("?camera%5Fid=a%2Bb+c", ("a+b c",), None),
        ("?camera_id=a=b", ("a=b",), None),
        ("?camera_id=K%C3%BCche", ("Küche",), None),
        ("?camera_id=Küche", ("Küche",), None),
        ("?camera_id=a?b", ("a?b",), None),
        ("?CAMERA_ID=a", (DEFAULT_CAMERA,), None),
        ("?timeout=1", (DEFAULT_CAMERA,), 1),
        ("?timeout=0060", (DEFAULT_CAMERA,), 60),
        ("?timeout=%36%30", (DEFAULT_CAMERA,), 60),
        (f"?timeout={MAX_TIMEOUT_S}", (DEFAULT_CAMERA,), MAX_TIMEOUT_S),
        ("?token=%zz", (DEFAULT_CAMERA,), None),
    ],
)
def test_query_is_read_as(query: str, cameras: tuple[str, ...], timeout: int | None) -> None:
    """PW-ADDR-3, PW-ADDR-8, PW-ADDR-9, PW-ADDR-10."""
    expected = StreamAddress(source_id="drone-01", cameras=cameras, timeout=timeout)

    assert StreamAddress.parse(STREAM + query) == expected


def test_source_id_may_be_escaped_too() -> None:
    """PW-ADDR-4."""
    assert StreamAddress.parse("/v1/sources/%64rone%2D01/video/stream").source_id == "drone-01"


@pytest.mark.parametrize(
    ("target", "where", "refusal"),
    [
        ("", "path", Refusal.WRONG_PATH),
        ("/", "path", Refusal.WRONG_PATH),
        (DEVICE_PATH, "path", Refusal.WRONG_PATH),
        ("/v1/sources/drone-01/video/stream/", "path", Refusal.WRONG_PATH),
        ("/v1/sources/a/b/video/stream", "path", Refusal.WRONG_PATH),
        ("/v1/sources/a/metrics/stream", "path", Refusal.WRONG_PATH),
        ("wss://host", "path", Refusal.WRONG_PATH),
        ("ftp://host" + STREAM, "path", Refusal.WRONG_PATH),
        ("wss:/host" + STREAM, "path", Refusal.WRONG_PATH),
        ("/v1/sources//video/stream", "source_id", Refusal.BAD_SOURCE_ID),
        ("/v1/sources/Drone/video/stream", "source_id", Refusal.BAD_SOURCE_ID),
        ("/v1/sources/a%2Fb/video/stream", "source_id", Refusal.BAD_SOURCE_ID),
        ("/v1/sources/a+b/video/stream", "source_id", Refusal.BAD_SOURCE_ID),
        ("/v1/sources/a\n/video/stream", "source_id", Refusal.BAD_SOURCE_ID),
        (f"/v1/sources/{'a' * 257}/video/stream", "source_id", Refusal.BAD_SOURCE_ID),
        ("/v1/sources/%/video/stream", "source_id", Refusal.BAD_ESCAPE),
        ("/v1/sources/%ff/video/stream", "source_id", Refusal.NOT_UNICODE),
        (f"{STREAM}?camera_id=100%", "camera_id", Refusal.BAD_ESCAPE),
        (f"{STREAM}?camera_id=%F", "camera_id", Refusal.BAD_ESCAPE),
        (f"{STREAM}?%zz=1", "query", Refusal.BAD_ESCAPE),
        (f"{STREAM}?camera_id=%C3", "camera_id", Refusal.NOT_UNICODE),
        (f"{STREAM}?camera_id=\ud800", "camera_id", Refusal.NOT_UNICODE),
        (f"{STREAM}?camera_id=%ED%A0%80", "camera_id", Refusal.NOT_UNICODE),
        (f"{STREAM}?camera_id={'€' * 85}a", "camera_id", Refusal.ID_TOO_LONG),
        (f"{STREAM}?timeout=", "timeout", Refusal.BAD_TIMEOUT),
        (f"{STREAM}?timeout=0", "timeout", Refusal.BAD_TIMEOUT),
        (f"{STREAM}?timeout=-1", "timeout", Refusal.BAD_TIMEOUT),
        (f"{STREAM}?timeout=+1", "timeout", Refusal.BAD_TIMEOUT),
        (f"{STREAM}?timeout=1.5", "timeout", Refusal.BAD_TIMEOUT),
        (f"{STREAM}?timeout=1e3", "timeout", Refusal.BAD_TIMEOUT),
        (f"{STREAM}?timeout=1_0", "timeout", Refusal.BAD_TIMEOUT),
        (f"{STREAM}?timeout=٣", "timeout", Refusal.BAD_TIMEOUT),
        (f"{STREAM}?timeout={MAX_TIMEOUT_S + 1}", "timeout", Refusal.BAD_TIMEOUT),
        (f"{STREAM}?timeout={'9' * 100_000}", "timeout", Refusal.BAD_TIMEOUT),
        (f"{STREAM}?timeout=5&timeout=5", "timeout", Refusal.REPEATED_TIMEOUT),
        (f"{STREAM}?timeout=0&timeout=5", "timeout", Refusal.REPEATED_TIMEOUT),
    ],
    ids=lambda value: ascii(value[-40:]) if isinstance(value, str) else "",
)
def test_target_that_is_wrong_is_refused_by_part(target: str, where: str, refusal: Refusal) -> None:
    """PW-ADDR-11, PW-ADDR-13, PW-TIME-5, PW-LIM-6."""
    error = refused(target)

    assert (error.where, error.refusal) == (where, refusal)


@pytest.mark.parametrize("count", [1, MAX_CAMERAS, MAX_CAMERAS + 1])
def test_address_names_at_most_64_cameras(count: int) -> None:
    """PW-LIM-6: of the doubled ones each counts once."""
    query = "&".join(f"camera_id={n}" for n in [*range(count), *range(count)])

    if count > MAX_CAMERAS:
        assert refused(f"{STREAM}?{query}").refusal is Refusal.TOO_MANY_CAMERAS
    else:
        assert len(StreamAddress.parse(f"{STREAM}?{query}").cameras) == count


def test_camera_id_in_an_address_has_at_most_255_bytes() -> None:
    """PW-LIM-6."""
    longest = "€" * (MAX_ID_BYTES // 3)

    assert StreamAddress(source_id="a", cameras=(longest,)).cameras == (longest,)
    with pytest.raises(AddressRefused, match="camera_id: is over 255 bytes"):
        StreamAddress(source_id="a", cameras=(longest + "a",))


@pytest.mark.parametrize("timeout", [0, -1, MAX_TIMEOUT_S + 1])
def test_address_that_is_built_is_held_to_the_same_rules(timeout: int) -> None:
    with pytest.raises(AddressRefused, match="PW-TIME-5"):
        StreamAddress(source_id="a", timeout=timeout)
    with pytest.raises(AddressRefused, match="PW-ADDR-11"):
        StreamAddress(source_id="A b")
    with pytest.raises(AddressRefused, match="PW-LIM-6"):
        StreamAddress(source_id="a", cameras=())
    with pytest.raises(AddressRefused, match="camera_id: is not Unicode"):
        StreamAddress(source_id="a", cameras=("\ud800",))
