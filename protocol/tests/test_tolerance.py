"""What a viewer makes of a gateway that deviates: it reads what can be understood, reports the rest, and goes on."""

import json
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plexwire_protocol import (
    AnyMessage,
    Auth,
    Event,
    GatewayDeviated,
    Init,
    MalformedMessage,
    Message,
    MessageIgnored,
    MessageReceived,
    MessageRefused,
    OnlineSource,
    Role,
    State,
    VideoFrame,
    ViewerSession,
    decode,
    encode,
)
from plexwire_protocol import strategies as wire

INIT = Init(online_sources=[OnlineSource(source_id="drone-01", cameras=["front"])])
FRAME = VideoFrame(
    source_id="drone-01", camera_id="front", jpeg=b"\xff\xd8", width=2, height=1, timestamp=0
)
SECOND_INIT = GatewayDeviated("PW-INIT-1", "message", "is an init after the first")
EARLY_FRAME = GatewayDeviated("PW-INIT-3", "message", "is a frame before the init")
#: Texts that don't even show of which type they are.
UNTYPED = ("", '{"type":"init","online_sources":[', "[]", '{"online_sources":[]}', b"init")


def viewer(state: State) -> ViewerSession:
    """Return a viewer of drone-01 in *state*; all that led there happened at 0 s."""
    session = ViewerSession(source_id="drone-01", now=0.0)
    if state is not State.AWAITING_AUTH:
        session.send(Auth(api_key="plx_1"), now=0.0)
    if state is State.STREAMING:
        session.receive(encode(INIT), now=0.0)
    session.take_outbox()
    return session


def told(session: ViewerSession, message: Message) -> list[Event]:
    return session.receive(encode(message), now=1.0)


def read(**members: Any) -> tuple[list[Event], Init]:
    """Return the deviations of an `init` with *members*, and what is read of it."""
    text = json.dumps({"type": "init", **members})
    *deviations, received = viewer(State.CHECKING_KEY).receive(text, now=1.0)
    assert isinstance(received, MessageReceived)
    assert isinstance(received.message, Init)
    return deviations, received.message


# ── what an init holds ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("online_sources", "path", "problem", "rest"),
    [
        (None, "online_sources", "is null, not a list", []),
        ("drone-01", "online_sources", "is a string, not a list", []),
        ({}, "online_sources", "is an object, not a list", []),
        (["drone-01", ("a", [])], "online_sources[0]", "is a string, not an object", [("a", [])]),
        ([("a", None)], "online_sources[0].cameras", "is null, not a list", [("a", [])]),
        ([("a", True)], "online_sources[0].cameras", "is a boolean, not a list", [("a", [])]),
        ([(1, ["x"])], "online_sources[0].source_id", "must be a string", []),
        ([("\ud800", [])], "online_sources[0].source_id", "has a lone surrogate", []),
        (
            [("a", ["x", {"camera_id": "y", "video_type": "rgb"}])],
            "online_sources[0].cameras[1]",
            "is an object, not a string",
            [("a", ["x", "y"])],
        ),
        (
            [("a", []), ("b", [{"video_type": "rgb"}, "x"])],
            "online_sources[1].cameras[0]",
            "is an object, not a string",
            [("a", []), ("b", ["x"])],
        ),
        ([("a", [1, "x"])], "online_sources[0].cameras[0]", "is a number, not a string", [("a", ["x"])]),
        ([("a", [[]])], "online_sources[0].cameras[0]", "is a list, not a string", [("a", [])]),
        ([("a", ["\ud800"])], "online_sources[0].cameras[0]", "has a lone surrogate", [("a", [])]),
    ],
)  # fmt: skip
def test_viewer_reads_of_an_init_what_it_can(
    online_sources: Any, path: str, problem: str, rest: list[tuple[str, list[str]]]
) -> None:
    """PW-VIEW-5: an entry is written as a pair here, for short."""
    if isinstance(online_sources, list):
        online_sources = [
            {"source_id": entry[0], "cameras": entry[1]} if isinstance(entry, tuple) else entry
            for entry in online_sources
        ]

    deviations, init = read(online_sources=online_sources)

    assert deviations == [GatewayDeviated("PW-INIT-4", path, problem)]
    assert init == Init(
        online_sources=[OnlineSource(source_id=name, cameras=cameras) for name, cameras in rest]
    )


def test_viewer_reads_an_init_whose_members_are_missing() -> None:
    deviations, init = read()

    assert deviations == [GatewayDeviated("PW-INIT-4", "online_sources", "is missing")]
    assert init == Init(online_sources=[])

    deviations, init = read(online_sources=[{"source_id": "a"}, {"cameras": []}])

    assert deviations == [
        GatewayDeviated("PW-INIT-4", "online_sources[0].cameras", "is missing"),
        GatewayDeviated("PW-INIT-4", "online_sources[1].source_id", "must be a string"),
    ]
    assert init == Init(online_sources=[OnlineSource(source_id="a", cameras=[])])


def json_like(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return values that resemble what `online_sources` holds."""
    names = st.sampled_from(("source_id", "cameras", "camera_id", "video_type"))
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
        max_leaves=12,
    )


@given(json_like(st.none() | st.booleans() | st.integers() | st.text(st.characters(), max_size=3)))
def test_viewer_reports_a_deviation_exactly_when_a_strict_reader_refuses(value: Any) -> None:
    text = json.dumps({"type": "init", "online_sources": value})
    session = viewer(State.CHECKING_KEY)

    *deviations, received = session.receive(text, now=1.0)

    assert session.state is State.STREAMING
    assert isinstance(received, MessageReceived)
    try:
        strict = decode(text, sender=Role.GATEWAY)
    except MalformedMessage:
        assert deviations
    else:
        assert (deviations, received.message) == ([], strict)
    assert decode(encode(received.message), sender=Role.GATEWAY) == received.message


def test_deviations_of_one_kind_differ_in_their_numbers_only() -> None:
    deviations, _ = read(online_sources=[("a"), {"source_id": "b", "cameras": [{}, {}, 1]}])

    assert [d.kind for d in deviations if isinstance(d, GatewayDeviated)] == [
        GatewayDeviated("PW-INIT-4", "online_sources[]", "is a string, not an object"),
        GatewayDeviated("PW-INIT-4", "online_sources[].cameras[]", "is an object, not a string"),
        GatewayDeviated("PW-INIT-4", "online_sources[].cameras[]", "is an object, not a string"),
        GatewayDeviated("PW-INIT-4", "online_sources[].cameras[]", "is a number, not a string"),
    ]


# ── the order of messages ────────────────────────────────────────────────────────────────────


@given(st.lists(wire.inits(), min_size=1, max_size=3))
def test_viewer_goes_on_after_a_second_init(inits: list[Init]) -> None:
    """PW-VIEW-5."""
    session = viewer(State.STREAMING)

    for init in inits:
        assert told(session, init) == [SECOND_INIT, MessageReceived(init)]
        assert told(session, FRAME) == [MessageReceived(FRAME)]
    assert (session.state, session.next_deadline()) == (State.STREAMING, inf)


def test_viewer_goes_on_after_frames_before_the_init() -> None:
    """PW-VIEW-5."""
    session = viewer(State.CHECKING_KEY)

    for _ in range(2):
        assert told(session, FRAME) == [EARLY_FRAME, MessageReceived(FRAME)]
        assert (session.state, session.next_deadline()) == (State.STREAMING, inf)
    assert told(session, INIT) == [MessageReceived(INIT)]
    assert told(session, FRAME) == [MessageReceived(FRAME)]
    assert told(session, INIT) == [SECOND_INIT, MessageReceived(INIT)]
    assert session.take_outbox() == []


@pytest.mark.parametrize("text", UNTYPED)
def test_viewer_takes_an_answer_that_it_cannot_read_for_the_init(text: str | bytes) -> None:
    """PW-VIEW-5."""
    session = viewer(State.CHECKING_KEY)

    (event,) = session.receive(text, now=1.0)

    assert isinstance(event, MessageRefused)
    assert (session.state, session.next_deadline()) == (State.STREAMING, inf)
    assert told(session, FRAME) == [MessageReceived(FRAME)]
    assert told(session, INIT) == [SECOND_INIT, MessageReceived(INIT)]


@pytest.mark.parametrize("state", [State.AWAITING_AUTH, State.STREAMING])
@pytest.mark.parametrize("text", UNTYPED)
def test_viewer_stays_when_what_it_cannot_read_is_not_an_answer(
    text: str | bytes, state: State
) -> None:
    session = viewer(state)

    (event,) = session.receive(text, now=1.0)

    assert isinstance(event, MessageRefused)
    assert session.state is state


@pytest.mark.parametrize("message", [INIT, FRAME])
def test_viewer_ignores_what_comes_before_its_auth(message: AnyMessage) -> None:
    session = viewer(State.AWAITING_AUTH)

    assert told(session, message) == [
        GatewayDeviated("PW-AUTH-10", "message", "came before the auth"),
        MessageIgnored(message),
    ]
    assert session.state is State.AWAITING_AUTH
    session.send(Auth(api_key="plx_1"), now=1.0)
    assert told(session, INIT) == [MessageReceived(INIT)]


# ── frames ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("source", "problem"), [("", "is missing"), ('"source_id":null,', "is null, not a string")]
)
def test_viewer_takes_a_frame_without_source_for_one_of_its_own(source: str, problem: str) -> None:
    """PW-VIEW-5."""
    text = encode(FRAME).replace('"source_id":"drone-01",', source)
    deviation = GatewayDeviated("PW-FRAME-1", "source_id", problem)

    for state, deviations in (
        (State.STREAMING, [deviation]),
        (State.CHECKING_KEY, [deviation, EARLY_FRAME]),
    ):
        assert viewer(state).receive(text, now=1.0) == [*deviations, MessageReceived(FRAME)]


def test_viewer_refuses_a_frame_whose_source_is_not_a_string() -> None:
    text = encode(FRAME).replace('"drone-01"', "1")

    (event,) = viewer(State.STREAMING).receive(text, now=1.0)

    assert isinstance(event, MessageRefused)
    assert event.error.where == "source_id"
