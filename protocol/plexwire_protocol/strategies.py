"""Hypothesis strategies for all that travels: for your tests as for ours.

Nouns in the plural, to be composed like Hypothesis's own.  They need hypothesis, which the core itself never imports.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Final

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from plexwire_protocol import (
    JPEG_START,
    Auth,
    Authenticated,
    DeviceAuth,
    ErrorReport,
    GatewayReconnecting,
    Heartbeat,
    Init,
    JsonValue,
    Message,
    OnlineSource,
    Role,
    StreamAddress,
    Unknown,
    VideoFrame,
    encode,
    encode_device_frame,
)
from plexwire_protocol.limits import MAX_CAMERAS, MAX_ID_BYTES, MAX_TIMEOUT_S, SOURCE_ID

#: What each role may say by name; a message of any other type is unknown.
VOCABULARY: Final[Mapping[Role, tuple[type[Message], ...]]] = {
    Role.VIEWER: (Auth,),
    Role.GATEWAY: (Init, VideoFrame, GatewayReconnecting, Authenticated, ErrorReport),
    Role.DEVICE: (DeviceAuth, VideoFrame, Heartbeat),
}

# ── values ───────────────────────────────────────────────────────────────────────────────────


def json_values(*, allow_nan: bool = False) -> SearchStrategy[JsonValue]:
    """Return values that JSON can hold; with *allow_nan* also NaN and infinities, which it can't."""
    scalars: SearchStrategy[JsonValue] = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=allow_nan, allow_infinity=allow_nan),
        st.text(max_size=20),
    )
    return st.recursive(scalars, _nested, max_leaves=8)


def _nested(inner: SearchStrategy[JsonValue]) -> SearchStrategy[JsonValue]:
    return st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)


def extras(
    taken: Iterable[str] = (), *, allow_nan: bool = False
) -> SearchStrategy[dict[str, JsonValue]]:
    """Return further members for a message whose own are *taken*."""
    own = {"type", *taken}
    names = st.text(max_size=12).filter(lambda name: name not in own)
    return st.dictionaries(names, json_values(allow_nan=allow_nan), max_size=4)


def api_keys() -> SearchStrategy[str]:
    """Return keys that look like real ones."""
    return st.text("0123456789abcdef", min_size=24, max_size=48).map("plx_{}".format)


def source_ids() -> SearchStrategy[str]:
    """Return source ids within the grammar, up to the longest.  [PW-ADDR-11]"""
    return st.from_regex(SOURCE_ID, fullmatch=True)


def camera_ids() -> SearchStrategy[str]:
    """Return camera ids: any Unicode, the empty one and the longest included.  [PW-LIM-6]"""
    return st.one_of(
        st.sampled_from(("default", "front", "camera:0", "", "Rückfahrkamera & Heck/2 100 %+?#=")),
        st.text(max_size=MAX_ID_BYTES // 4),
        st.text("0aä€😀", min_size=MAX_ID_BYTES // 4, max_size=MAX_ID_BYTES).map(_first_bytes),
    )


def _first_bytes(text: str) -> str:
    return text.encode()[:MAX_ID_BYTES].decode(errors="ignore")


def jpegs() -> SearchStrategy[bytes]:
    """Return bytes that begin like a JPEG; nothing in this protocol looks further."""
    return st.binary(max_size=64).map(JPEG_START.__add__)


def _pixels() -> SearchStrategy[int]:
    return st.integers(0, 2**32 - 1)


def _timestamps_ms() -> SearchStrategy[int]:
    return st.integers(-(2**63), 2**63 - 1)


# ── messages ─────────────────────────────────────────────────────────────────────────────────


def auths() -> SearchStrategy[Auth]:
    """Return what a viewer says first."""
    return st.builds(Auth, api_key=api_keys() | st.text())


def online_sources() -> SearchStrategy[OnlineSource]:
    """Return entries of an `init`."""
    return st.builds(
        OnlineSource, source_id=source_ids(), cameras=st.lists(camera_ids(), max_size=4)
    )


def inits() -> SearchStrategy[Init]:
    """Return the gateway's answers to a viewer."""
    return st.builds(Init, online_sources=st.lists(online_sources(), max_size=3))


def video_frames(*, extra: bool = True, allow_nan: bool = False) -> SearchStrategy[VideoFrame]:
    """Return frames; without *extra* members they fit into the binary form."""
    members = extras(VideoFrame.wire_names(), allow_nan=allow_nan)
    return st.builds(
        VideoFrame,
        source_id=camera_ids(),
        camera_id=camera_ids(),
        jpeg=jpegs(),
        width=_pixels(),
        height=_pixels(),
        timestamp=_timestamps_ms(),
        extra=members if extra else st.builds(dict),
    )


def gateway_reconnectings() -> SearchStrategy[GatewayReconnecting]:
    """Return word that the upstream is away."""
    counts = st.integers(0, 2**31 - 1)
    return st.builds(
        GatewayReconnecting,
        attempt=counts,
        max_attempts=counts,
        delay_s=st.integers(0, 60) | st.floats(0, allow_infinity=False),
    )


def device_auths() -> SearchStrategy[DeviceAuth]:
    """Return what a device says first."""
    return st.builds(
        DeviceAuth,
        api_key=api_keys() | st.text(),
        source_id=source_ids(),
        extra=extras(DeviceAuth.wire_names()),
    )


def authenticateds() -> SearchStrategy[Authenticated]:
    """Return the gateway's answers to a device."""
    return st.builds(Authenticated, source_id=source_ids(), server_time_ms=_timestamps_ms())


def error_reports() -> SearchStrategy[ErrorReport]:
    """Return the gateway's refusals to a device."""
    return st.builds(ErrorReport, code=st.text(), detail=st.text())


def heartbeats() -> SearchStrategy[Heartbeat]:
    """Return a device's signs of life."""
    return st.builds(Heartbeat, source_id=source_ids(), agent_version=st.text(max_size=12))


def unknowns(sender: Role) -> SearchStrategy[Unknown]:
    """Return messages of types that *sender* has no business with, those of the other roles included."""
    known = {kind.type for kind in VOCABULARY[sender]}
    elsewhere = {kind.type for kinds in VOCABULARY.values() for kind in kinds} - known
    names = st.sampled_from(sorted(elsewhere)) | st.text().filter(lambda name: name not in known)
    return st.builds(Unknown, name=names, members=extras())


_MESSAGES: Final[Mapping[type[Message], Callable[[], SearchStrategy[Message]]]] = {
    Auth: auths,
    Init: inits,
    VideoFrame: video_frames,
    GatewayReconnecting: gateway_reconnectings,
    DeviceAuth: device_auths,
    Authenticated: authenticateds,
    ErrorReport: error_reports,
    Heartbeat: heartbeats,
}


@cache  # building it takes longer than drawing from it
def messages(sender: Role) -> SearchStrategy[Message]:
    """Return every message that *sender* can send, unknown ones included."""
    return st.one_of(*(_MESSAGES[kind]() for kind in VOCABULARY[sender]), unknowns(sender))


def addresses() -> SearchStrategy[StreamAddress]:
    """Return what viewers ask for."""
    return st.builds(
        StreamAddress,
        source_id=source_ids(),
        cameras=st.lists(camera_ids(), min_size=1, max_size=4)
        | st.integers(1, MAX_CAMERAS).map(lambda count: [str(n) for n in range(count)]),
        timeout=st.none() | st.integers(1, MAX_TIMEOUT_S),
    )


# ── what else a peer can send ────────────────────────────────────────────────────────────────

#: Texts that have broken a parser somewhere.
ODD_TEXTS: Final[tuple[str, ...]] = (
    "",
    " ",
    "\x00",
    "\ufeff{}",
    "null",
    "NaN",
    "-Infinity",
    "[]",
    '""',
    "{}",
    "{" * 3,
    "[" * 100_000,
    '{"a":' * 100_000,
    '{"type":"\\ud800"}',
    '{"type":"\ud800"}',
    '{"type":null}',
    '{"type":["auth"]}',
    '{"type":"auth","type":"init"}',
    '{"type":"auth","api_key":"a","api_key":1}',
    '{"type":"auth","api_key":"\\udfff"}',
    '{"type":"auth","api_key":NaN}',
    '{"type":"x","a":' + "9" * 5000 + "}",
    '{"type":"x","a":1e999}',
    '{"type":"x","a":' + "[" * 500 + "]" * 500 + "}",
    "{'type':'auth'}",
    '{"type":"auth","api_key":"a"}{}',
    '{"type":"error","code":true,"detail":[0]}',
    '{"type":"init","online_sources":[[]]}',
)


@cache
def garbage(sender: Role) -> SearchStrategy[str | bytes]:
    """Return what *sender* had better not send: noise, odd texts, and messages with one thing wrong."""
    return st.one_of(
        st.binary(),
        st.text(st.characters()),
        st.sampled_from(ODD_TEXTS),
        json_values(allow_nan=True).map(json.dumps),
        _of_wrong_types(sender),
        _with_a_fault(sender),
        video_frames(extra=False).flatmap(_damaged),
    )


def _of_wrong_types(sender: Role) -> SearchStrategy[str]:
    """Return objects with the right names and any values."""
    values = st.one_of(
        json_values(allow_nan=True),
        st.sampled_from(("/9j/", "/9j=", "\ud800", 640.0, 0.5, -1, 2**32, 2**63, 10**400, 1e308)),
        st.lists(st.dictionaries(st.sampled_from(("source_id", "cameras")), json_values())),
    )
    return st.sampled_from(VOCABULARY[sender]).flatmap(
        lambda kind: st.fixed_dictionaries(
            {"type": st.just(kind.type)}, optional=dict.fromkeys(kind.wire_names(), values)
        ).map(json.dumps)
    )


def _with_a_fault(sender: Role) -> SearchStrategy[str]:
    """Return good messages with a piece of their text cut out, doubled or replaced."""
    pieces = st.sampled_from(("", '"', ",", "}", "\\", "\x00", "\ud800", "NaN", "1e999", "[" * 99))

    def faulty(text: str) -> SearchStrategy[str]:
        places = st.tuples(st.integers(0, len(text)), st.integers(0, len(text)))
        return st.builds(
            lambda place, piece: text[: place[0]] + piece + text[place[1] :], places, pieces
        )

    return messages(sender).map(encode).flatmap(faulty)


def _damaged(frame: VideoFrame) -> SearchStrategy[bytes]:
    """Return the binary form of *frame*, cut off anywhere or with one byte changed."""
    data = encode_device_frame(frame)
    places = st.integers(0, len(data) - 1)
    return st.one_of(
        places.map(lambda at: data[:at]),
        st.builds(
            lambda at, byte: data[:at] + bytes((byte,)) + data[at + 1 :],
            places,
            st.integers(0, 255),
        ),
    )
