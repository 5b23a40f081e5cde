"""What each side does with what it does not understand, found out by asking the core."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from plexwire_protocol import (
    Auth,
    Close,
    ConversationClosed,
    DeviceAuth,
    DeviceSession,
    Event,
    GatewayDeviceSession,
    GatewayViewerSession,
    MessageIgnored,
    MessageRefused,
    Session,
    StreamAddress,
    ViewerSession,
    encode,
)

_KEY: Final = "plx_example"
_AUTH: Final = encode(Auth(api_key=_KEY))
_DEVICE_AUTH: Final = encode(DeviceAuth(api_key=_KEY, source_id="robot-01"))
_INIT: Final = '{"type":"init","online_sources":[]}'
_AUTHENTICATED: Final = '{"type":"authenticated","source_id":"robot-01","server_time_ms":0}'


def _gateway_to_viewer() -> Session:
    return GatewayViewerSession(StreamAddress(source_id="robot-01"), now=0.0)


def _gateway_to_viewer_streaming() -> Session:
    session = GatewayViewerSession(StreamAddress(source_id="robot-01"), now=0.0)
    session.receive(_AUTH, now=0.0)
    session.grant((), now=0.0)
    session.take_outbox()
    return session


def _gateway_to_device() -> Session:
    return GatewayDeviceSession(now=0.0)


def _gateway_to_device_streaming() -> Session:
    session = GatewayDeviceSession(now=0.0)
    session.receive(_DEVICE_AUTH, now=0.0)
    session.grant(server_time_ms=0, now=0.0)
    session.take_outbox()
    return session


def _viewer_waiting() -> Session:
    session = ViewerSession(now=0.0)
    session.send(Auth(api_key=_KEY), now=0.0)
    session.take_outbox()
    return session


def _viewer_streaming() -> Session:
    session = _viewer_waiting()
    session.receive(_INIT, now=0.0)
    return session


def _device_waiting() -> Session:
    session = DeviceSession(now=0.0)
    session.send(DeviceAuth(api_key=_KEY, source_id="robot-01"), now=0.0)
    session.take_outbox()
    return session


def _device_streaming() -> Session:
    session = _device_waiting()
    session.receive(_AUTHENTICATED, now=0.0)
    return session


_COLUMNS: Final[Mapping[str, Callable[[], Session]]] = {
    "gateway, of a viewer before its auth": _gateway_to_viewer,
    "gateway, of a viewer after it": _gateway_to_viewer_streaming,
    "gateway, of a device before its auth": _gateway_to_device,
    "gateway, of a device after it": _gateway_to_device_streaming,
    "viewer, before `init`": _viewer_waiting,
    "viewer, after it": _viewer_streaming,
    "device, before the answer": _device_waiting,
    "device, after it": _device_streaming,
}

_FRAME: Final = (
    '{"type":"video_frame","source_id":"robot-01","camera_id":"front","frame":"/9j/2Q==",'
    '"width":1,"height":1,"timestamp":1}'
)
_BROKEN: Final = {"gateway": "auth", "viewer": "init", "device": "authenticated"}


def _rows(column: str) -> Iterable[tuple[str, str | bytes]]:
    """What comes, for the session in *column*: the same mistake in the words that it knows."""
    of_device = "of a device" in column
    known = "device_auth" if of_device else _BROKEN[column.partition(",")[0]]
    yield "text that is not JSON", "{"
    yield "JSON that is not an object", "[]"
    yield "an object without a string as `type`", '{"type":1}'
    yield "a type that is not known", '{"type":"weather"}'
    yield "an auth or an answer with a member missing or of a wrong type", f'{{"type":"{known}"}}'
    yield "a `video_frame` that can't be read", '{"type":"video_frame"}'
    yield "a `video_frame` that can be read", _FRAME
    yield "a second auth or a second answer", _second(column, of_device=of_device)
    yield "an `error`", '{"type":"error","code":"x"}'
    yield (
        "a `gateway_reconnecting`",
        ('{"type":"gateway_reconnecting","attempt":1,"max_attempts":5,"delay_s":2}'),
    )
    yield "a binary message that is no frame", b"\x02"


def _second(column: str, *, of_device: bool) -> str:
    if "before" in column:
        return ""
    if column.startswith("gateway"):
        return _DEVICE_AUTH if of_device else _AUTH
    return _INIT if column.startswith("viewer") else _AUTHENTICATED


def _reaction(session: Session, data: str | bytes) -> str:
    events = session.receive(data, now=1.0)
    closes = [item for item in session.take_outbox() if isinstance(item, Close)]
    if closes:
        said = "`error`, then " if isinstance(session, GatewayDeviceSession) else ""
        return f"{said}closes with {closes[0].code:d}"
    return _word(events)


def _word(events: Sequence[Event]) -> str:
    match events:
        case [MessageIgnored()]:
            return "ignores"
        case [MessageRefused()]:
            return "passes over"
        case [*_, ConversationClosed()]:
            return "closes"
        case _:
            return "takes"


def reactions() -> tuple[Sequence[str], Iterable[Sequence[str]]]:
    """Return the heads and the rows of the table."""
    cells: dict[str, list[str]] = {}
    for column, begin in _COLUMNS.items():
        for row, data in _rows(column):
            cells.setdefault(row, []).append(_reaction(begin(), data) if data else "—")
    return ("what comes", *_COLUMNS), ((row, *found) for row, found in cells.items())
