"""How a viewer reads what a gateway sends: mend what can be understood, report it, then read as strictly as ever."""

from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any, Final, TypeAlias

from plexwire_protocol._codec import open_message, read_members
from plexwire_protocol._events import GatewayDeviated
from plexwire_protocol._messages import AnyMessage, Init, Role, VideoFrame, fault_of_text

_Members: TypeAlias = dict[str, Any]
_Mend: TypeAlias = Callable[[_Members, str], Iterator[GatewayDeviated]]


def read_from_gateway(
    data: str | bytes, *, source_id: str
) -> tuple[AnyMessage, list[GatewayDeviated]]:
    """Return the message in *data*, which a gateway sent to a viewer, and how it deviates.

    An `init` is never refused: what can't be understood of it is not online.  A frame without a source belongs to
    *source_id*.

    Raises:
        MalformedMessage: the message can't be read.

    """
    name, members = open_message(data, Role.GATEWAY)
    mend = _MENDS.get(name)
    deviations = [] if mend is None else list(mend(members, source_id))
    return read_members(name, members, Role.GATEWAY), deviations


def _mend_init(members: _Members, _source_id: str) -> Iterator[GatewayDeviated]:
    entries = yield from _mend_list(members, "online_sources", "online_sources")
    sources = []
    for i, entry in enumerate(entries):
        path = f"online_sources[{i}]"
        if not isinstance(entry, dict):
            yield _wrong(path, entry, "an object")
            continue
        if (fault := fault_of_text(entry.get("source_id"))) is None:
            sources.append(entry)
        else:
            yield GatewayDeviated(Init.clause, f"{path}.source_id", fault[1])
        yield from _mend_cameras(entry, f"{path}.cameras")
    members["online_sources"] = sources


def _mend_cameras(source: _Members, path: str) -> Iterator[GatewayDeviated]:
    entries = yield from _mend_list(source, "cameras", path)
    cameras = []
    for i, entry in enumerate(entries):
        camera = entry.get("camera_id") if isinstance(entry, dict) else entry
        fault = fault_of_text(camera)
        if fault is None:
            cameras.append(camera)
        if not isinstance(entry, str):
            yield _wrong(f"{path}[{i}]", entry, "a string")
        elif fault is not None:
            yield GatewayDeviated(Init.clause, f"{path}[{i}]", fault[1])
    source["cameras"] = cameras


def _mend_list(
    members: _Members, name: str, path: str
) -> Generator[GatewayDeviated, None, list[Any]]:
    value = members.setdefault(name, _ABSENT)
    if isinstance(value, list):
        return value
    yield _wrong(path, value, "a list")
    return []


def _mend_frame(members: _Members, source_id: str) -> Iterator[GatewayDeviated]:
    value = members.get("source_id", _ABSENT)
    if value is None or value is _ABSENT:
        yield _wrong("source_id", value, "a string", VideoFrame.clause)
        members["source_id"] = source_id


_MENDS: Final[Mapping[str, _Mend]] = {Init.type: _mend_init, VideoFrame.type: _mend_frame}

#: The value of a member that is not there.
_ABSENT: Final = object()

_KINDS: Final[Mapping[type, str]] = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "a boolean",
    type(None): "null",
}


def _wrong(path: str, value: Any, wanted: str, clause: str = Init.clause) -> GatewayDeviated:
    if value is _ABSENT:
        return GatewayDeviated(clause, path, "is missing")
    return GatewayDeviated(clause, path, f"is {_KINDS.get(type(value), 'a number')}, not {wanted}")
