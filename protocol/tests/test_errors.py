"""The errors say whose fault it is, and survive what errors go through."""

import copy
import pickle
from collections.abc import Callable

import pytest

from plexwire_protocol import (
    AddressRefused,
    AnswerMissing,
    AuthViolation,
    CloseCode,
    LocalProtocolError,
    MalformedMessage,
    PlexwireError,
    Refusal,
    RemoteProtocolError,
    Role,
    StreamAddress,
    UnexpectedMessage,
    VideoFrame,
    decode,
)

ERRORS: list[PlexwireError] = [
    PlexwireError("something"),
    LocalProtocolError("can't send auth while closed", "PW-AUTH-1"),
    AddressRefused("is given twice", "PW-TIME-5", "timeout", Refusal.REPEATED_TIMEOUT),
    RemoteProtocolError("something", "PW-CONN-6"),
    MalformedMessage("must be a string", "PW-AUTH-6", "api_key", Refusal.WRONG_TYPE),
    AuthViolation("no auth within 10 s", "PW-AUTH-3"),
    UnexpectedMessage("init while streaming", "PW-INIT-1"),
    AnswerMissing("no init within 10 s of the auth", "PW-VIEW-4"),
]
every_error = pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)


@every_error
@pytest.mark.parametrize(
    "again",
    [
        copy.copy,
        copy.deepcopy,
        *(
            lambda error, protocol=protocol: pickle.loads(pickle.dumps(error, protocol))
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
        ),
    ],
)
def test_error_survives_copying_and_pickling(
    error: PlexwireError, again: Callable[[PlexwireError], PlexwireError]
) -> None:
    twin = again(error)

    assert type(twin) is type(error)
    assert twin is not error
    assert (str(twin), repr(twin), twin.args) == (str(error), repr(error), error.args)
    assert vars_of(twin) == vars_of(error)


def vars_of(error: PlexwireError) -> list[object]:
    return [
        getattr(error, name, None)
        for name in ("problem", "clause", "where", "refusal", "close_code")
    ]


@every_error
def test_error_keeps_its_cause_when_raised_from_another(error: PlexwireError) -> None:
    cause = ValueError("the reason beneath")

    with pytest.raises(PlexwireError) as caught:
        raise error from cause

    assert caught.value is error
    assert caught.value.__cause__ is cause


@every_error
def test_error_is_itself_and_no_other(error: PlexwireError) -> None:
    assert error == error
    assert error != copy.copy(error)
    assert error in {error}


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ERRORS[1], "can't send auth while closed [PW-AUTH-1]"),
        (ERRORS[2], "timeout: is given twice [PW-TIME-5]"),
        (ERRORS[3], "something [PW-CONN-6]"),
        (ERRORS[4], "api_key: must be a string [PW-AUTH-6]"),
        (ERRORS[5], "no auth within 10 s [PW-AUTH-3]"),
    ],
)
def test_error_speaks_to_people_and_names_its_clause(error: PlexwireError, text: str) -> None:
    assert str(error) == text


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (RemoteProtocolError, CloseCode.PROTOCOL_ERROR),
        (MalformedMessage, CloseCode.INVALID_PAYLOAD),
        (AuthViolation, CloseCode.UNAUTHORIZED),
        (UnexpectedMessage, CloseCode.PROTOCOL_ERROR),
        (AnswerMissing, CloseCode.PROTOCOL_ERROR),
    ],
)
def test_class_of_a_remote_error_fixes_its_close_code(
    kind: type[RemoteProtocolError], code: CloseCode
) -> None:
    assert issubclass(kind, RemoteProtocolError)
    assert kind.close_code is code


def test_faults_of_the_caller_and_of_the_peer_are_told_apart() -> None:
    assert not issubclass(LocalProtocolError, RemoteProtocolError)
    assert not issubclass(AddressRefused, RemoteProtocolError)


def _text(text: str) -> Callable[[], object]:
    return lambda: decode(text, sender=Role.VIEWER)


def _binary(data: bytes) -> Callable[[], object]:
    return lambda: decode(data, sender=Role.DEVICE)


def _frame(members: str) -> Callable[[], object]:
    return lambda: decode(f'{{"type":"video_frame",{members}}}', sender=Role.DEVICE)


def _address(query: str, source_id: str = "a") -> Callable[[], object]:
    return lambda: StreamAddress.parse(f"/v1/sources/{source_id}/video/stream?{query}")


EXAMPLES: dict[Refusal, Callable[[], object]] = {
    Refusal.TOO_LARGE: _text(" " * 1_048_577),
    Refusal.NOT_JSON: _text("auth"),
    Refusal.NOT_AN_OBJECT: _text("[]"),
    Refusal.NO_TYPE: _text("{}"),
    Refusal.MISSING_MEMBER: _text('{"type":"auth"}'),
    Refusal.WRONG_TYPE: _text('{"type":"auth","api_key":1}'),
    Refusal.OUT_OF_RANGE: _frame(
        '"camera_id":"a","frame":"/9j/","width":-1,"height":0,"timestamp":0'
    ),
    Refusal.NOT_UNICODE: _text('{"type":"auth","api_key":"\\udc00"}'),
    Refusal.BAD_SOURCE_ID: _address("", source_id="A"),
    Refusal.ID_TOO_LONG: _address(f"camera_id={'a' * 256}"),
    Refusal.NOT_BASE64: _frame('"camera_id":"a","frame":"?","width":0,"height":0,"timestamp":0'),
    Refusal.NOT_JPEG: _frame('"camera_id":"a","frame":"","width":0,"height":0,"timestamp":0'),
    Refusal.BINARY: lambda: decode(b"{}", sender=Role.VIEWER),
    Refusal.TRUNCATED: _binary(b"\x01"),
    Refusal.UNKNOWN_VERSION: _binary(b"\x02"),
    Refusal.WRONG_PATH: lambda: StreamAddress.parse("/"),
    Refusal.BAD_ESCAPE: _address("camera_id=%"),
    Refusal.BAD_TIMEOUT: _address("timeout=0"),
    Refusal.REPEATED_TIMEOUT: _address("timeout=1&timeout=1"),
    Refusal.TOO_MANY_CAMERAS: _address("&".join(f"camera_id={n}" for n in range(65))),
}


@pytest.mark.parametrize("refusal", Refusal)
def test_every_refusal_can_be_met(refusal: Refusal) -> None:
    with pytest.raises((MalformedMessage, AddressRefused)) as caught:
        EXAMPLES[refusal]()

    assert isinstance(caught.value, MalformedMessage | AddressRefused)
    assert caught.value.refusal is refusal
    assert str(refusal) == refusal.name.lower()


def test_refused_message_does_not_drag_its_text_along_when_printed() -> None:
    with pytest.raises(MalformedMessage) as caught:
        decode('{"type":"auth","api_key":"plx_secret', sender=Role.VIEWER)

    assert "plx_secret" not in f"{caught.value!r} {caught.value}"
    assert caught.value.__suppress_context__


def test_frame_that_you_build_wrongly_is_malformed_too() -> None:
    with pytest.raises(MalformedMessage, match=r"jpeg: does not begin like a JPEG"):
        VideoFrame(camera_id="front", jpeg=b"GIF89a", width=1, height=1, timestamp=0)
