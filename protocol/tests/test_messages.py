"""The messages guard their values, whoever builds them."""

from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve, exceptions
from hypothesis import given
from hypothesis import strategies as st

from plexwire_protocol import (
    Auth,
    Authenticated,
    DeviceAuth,
    ErrorReport,
    GatewayReconnecting,
    Heartbeat,
    Init,
    MalformedMessage,
    Message,
    OnlineSource,
    Refusal,
    Role,
    Unknown,
    VideoFrame,
)
from plexwire_protocol import strategies as wire
from plexwire_protocol.limits import MAX_ID_BYTES

FRAME = VideoFrame(
    source_id="drone-01",
    camera_id="front",
    jpeg=b"\xff\xd8picture",
    width=640,
    height=480,
    timestamp=1_746_969_660_000,
)
RECONNECTING = GatewayReconnecting(attempt=1, max_attempts=5, delay_s=2)
AUTHENTICATED = Authenticated(source_id="robot-01", server_time_ms=1_746_100_800_000)

ANY_SENDER = st.sampled_from(Role)


@given(ANY_SENDER.flatmap(wire.messages), st.data())
def test_message_is_a_value(message: Message, data: st.DataObject) -> None:
    assert evolve(message) == message
    assert message != data.draw(wire.unknowns(Role.VIEWER).filter(lambda other: other != message))
    with pytest.raises(exceptions.FrozenInstanceError):
        message.anything = 1  # type: ignore[attr-defined]


@given(wire.api_keys(), wire.source_ids())
def test_message_with_a_key_never_shows_it(key: str, source_id: str) -> None:
    for message in (
        Auth(api_key=key),
        DeviceAuth(api_key=key, source_id=source_id),
        DeviceAuth(api_key="plx_", source_id=source_id, extra={"old_key": key}),
        evolve(FRAME, extra={"api_key": key}),
        Unknown(name="login", members={"api_key": key}),
        Unknown(name=f"{key:>60}", members={}),
    ):
        assert key not in f"{message!r} {message}"


def test_frame_does_not_fill_a_log_with_its_picture() -> None:
    thermal = evolve(FRAME, jpeg=b"\xff\xd8" * 300_000, extra={"temps": [20.5] * 10_000})

    assert repr(thermal) == (
        "VideoFrame(source_id='drone-01', camera_id='front', jpeg=<600000 bytes>, width=640, "
        "height=480, timestamp=1746969660000, extra=<1 members>)"
    )


def test_unknown_message_does_not_fill_a_log_with_its_name() -> None:
    assert len(repr(Unknown(name="x" * 1_000_000))) < 100


def refusal_of(build: Callable[[], Message]) -> Refusal | None:
    try:
        build()
    except MalformedMessage as error:
        return error.refusal
    return None


@given(st.integers(-(2**70), 2**70))
def test_frame_takes_exactly_the_numbers_that_the_binary_form_holds(number: int) -> None:
    pixels = None if 0 <= number < 2**32 else Refusal.OUT_OF_RANGE
    stamp = None if -(2**63) <= number < 2**63 else Refusal.OUT_OF_RANGE

    assert refusal_of(lambda: evolve(FRAME, width=number)) is pixels
    assert refusal_of(lambda: evolve(FRAME, height=number)) is pixels
    assert refusal_of(lambda: evolve(FRAME, timestamp=number)) is stamp


@given(st.text(st.characters(), max_size=MAX_ID_BYTES + 1))
def test_camera_id_may_be_any_unicode_of_255_bytes(camera_id: str) -> None:
    wanted = None
    if any("\ud800" <= character <= "\udfff" for character in camera_id):
        wanted = Refusal.NOT_UNICODE
    elif len(camera_id.encode()) > MAX_ID_BYTES:
        wanted = Refusal.ID_TOO_LONG

    assert refusal_of(lambda: evolve(FRAME, camera_id=camera_id)) is wanted


BAD_VALUES: list[tuple[Message, str, Any, Refusal]] = [
    (Auth(api_key=""), "api_key", None, Refusal.WRONG_TYPE),
    (Auth(api_key=""), "api_key", b"plx_", Refusal.WRONG_TYPE),
    (Auth(api_key=""), "api_key", "\ud800", Refusal.NOT_UNICODE),
    (FRAME, "source_id", 7, Refusal.WRONG_TYPE),
    (FRAME, "camera_id", None, Refusal.WRONG_TYPE),
    (FRAME, "camera_id", "x" * 256, Refusal.ID_TOO_LONG),
    (FRAME, "camera_id", "€" * 86, Refusal.ID_TOO_LONG),
    (FRAME, "jpeg", "/9j/", Refusal.WRONG_TYPE),
    (FRAME, "jpeg", b"", Refusal.NOT_JPEG),
    (FRAME, "jpeg", b"\x89PNG", Refusal.NOT_JPEG),
    (FRAME, "width", 1.0, Refusal.WRONG_TYPE),
    (FRAME, "width", True, Refusal.WRONG_TYPE),
    (FRAME, "height", -1, Refusal.OUT_OF_RANGE),
    (FRAME, "height", 2**32, Refusal.OUT_OF_RANGE),
    (FRAME, "timestamp", "now", Refusal.WRONG_TYPE),
    (FRAME, "timestamp", 2**63, Refusal.OUT_OF_RANGE),
    (FRAME, "extra", {"frame": "/9j/"}, Refusal.OUT_OF_RANGE),
    (FRAME, "extra", {"type": "video_frame"}, Refusal.OUT_OF_RANGE),
    (OnlineSource(source_id="a", cameras=[]), "cameras", [7], Refusal.WRONG_TYPE),
    (OnlineSource(source_id="a", cameras=[]), "source_id", None, Refusal.WRONG_TYPE),
    (RECONNECTING, "attempt", False, Refusal.WRONG_TYPE),
    (RECONNECTING, "max_attempts", -1, Refusal.OUT_OF_RANGE),
    (RECONNECTING, "delay_s", True, Refusal.WRONG_TYPE),
    (RECONNECTING, "delay_s", "2", Refusal.WRONG_TYPE),
    (RECONNECTING, "delay_s", -0.5, Refusal.OUT_OF_RANGE),
    (RECONNECTING, "delay_s", float("inf"), Refusal.OUT_OF_RANGE),
    (RECONNECTING, "delay_s", float("nan"), Refusal.OUT_OF_RANGE),
    (RECONNECTING, "delay_s", 10**400, Refusal.OUT_OF_RANGE),
    (DeviceAuth(api_key="", source_id="a"), "source_id", "Robot 1", Refusal.BAD_SOURCE_ID),
    (DeviceAuth(api_key="", source_id="a"), "source_id", "a" * 257, Refusal.BAD_SOURCE_ID),
    (DeviceAuth(api_key="", source_id="a"), "source_id", "a\n", Refusal.BAD_SOURCE_ID),
    (DeviceAuth(api_key="", source_id="a"), "extra", {"api_key": 1}, Refusal.OUT_OF_RANGE),
    (AUTHENTICATED, "server_time_ms", 0.0, Refusal.WRONG_TYPE),
    (ErrorReport(code="x"), "code", 4001, Refusal.WRONG_TYPE),
    (Heartbeat(), "agent_version", None, Refusal.WRONG_TYPE),
]


@pytest.mark.parametrize(("message", "name", "value", "refusal"), BAD_VALUES)
def test_message_refuses_a_bad_value_and_says_where(
    message: Message, name: str, value: Any, refusal: Refusal
) -> None:
    with pytest.raises(MalformedMessage) as caught:
        evolve(message, **{name: value})

    error = caught.value
    assert (error.where, error.refusal, error.clause) == (name, refusal, message.clause)


def test_message_of_each_class_knows_its_names_on_the_wire() -> None:
    assert FRAME.wire_names() == (
        "source_id",
        "camera_id",
        "frame",
        "width",
        "height",
        "timestamp",
    )
    assert Init.wire_names() == ("online_sources",)
    assert DeviceAuth.wire_names() == ("api_key", "source_id")


def test_init_keeps_any_iterable_as_a_tuple() -> None:
    source = OnlineSource(source_id="drone-01", cameras=(name for name in ("front", "rear")))

    assert Init(online_sources=[source]).online_sources == (source,)
    assert source.cameras == ("front", "rear")
