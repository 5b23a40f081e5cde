"""What a vector is on the wire: where an outside peer can send it to a gateway, and what has to come of it.

A vector ends at the decoder.  What its outcome means for a conversation follows from one rule of the specification:
before authentication every mistake ends the conversation; after it, none does.  `vectors/README.md` has it as a table.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Final

from attrs import frozen

from plexwire_spec._clauses import Party
from plexwire_spec._vectors import EXAMPLE_KEY, Kind, Vector


class Place(StrEnum):
    """Where in a conversation a peer sends the input."""

    #: As the request target of a viewer's handshake.
    HANDSHAKE = "handshake"
    #: As the first message of a viewer, of a device.
    VIEWER_FIRST = "viewer-first"
    DEVICE_FIRST = "device-first"
    #: As a message of a viewer that has its `init`, of a device that was `authenticated`.
    VIEWER_LATER = "viewer-later"
    DEVICE_LATER = "device-later"


class Reaction(StrEnum):
    """What the gateway does, as far as its peers can see."""

    #: Answers the handshake with 101; with a good auth, the stream has the cameras of the outcome.
    UPGRADED = "upgraded"
    #: Answers the handshake with an HTTP error status.
    HTTP_ERROR = "http-error"
    #: Sends `init`, or `authenticated`.
    INIT = "init"
    AUTHENTICATED = "authenticated"
    #: Closes a viewer with 4001, and sends nothing before it.
    CLOSED_4001 = "closed-4001"
    #: Refuses a device: an `error`, then a close.
    ERROR_AND_CLOSE = "error-and-close"
    #: Sends the viewers of its camera a `video_frame` with the members of the outcome.
    RELAYED = "relayed"
    #: Relays nothing and keeps the connection; it may still answer the sender, by a `telemetry_ack` or an `error`.
    NOTHING = "nothing"
    #: Relays nothing; closes with 1009, or does what it does with a message that it can't read.
    TOO_LARGE = "too-large"


@frozen
class Play:
    """One way to send a vector to a gateway.

    `clause` is the one that another reaction breaks; its level says whether that is a fault.  `unaltered` is the clause
    that a gateway breaks which relays the message as it is, or empty.
    """

    place: Place
    reaction: Reaction
    clause: str
    unaltered: str = ""


#: What a viewer would get that no `video_frame` may be, by the reason to refuse it.
_UNALTERED: Final = {
    "not_json": "PW-FRAME-1",
    "missing_member": "PW-FRAME-1",
    "wrong_type": "PW-FRAME-1",
    "not_base64": "PW-FRAME-11",
}


#: No request has an empty target, and the path of devices is answered to whoever asks for it.
_NO_TARGETS: Final = ("", "/ws/device")


def plays(vector: Vector) -> tuple[Play, ...]:
    """Return the ways in which an outside peer can send *vector* to a gateway.

    There is none for what gateways send, nor for an address that no viewer's handshake can have.
    """
    match vector.kind, vector.sender:
        case Kind.ADDRESS, _ if vector.input in _NO_TARGETS:
            return ()
        case Kind.ADDRESS, _:
            refused = "refused" in vector.outcome
            reaction = Reaction.HTTP_ERROR if refused else Reaction.UPGRADED
            return (Play(Place.HANDSHAKE, reaction, vector.clause),)
        case _, Party.VIEWER:
            return tuple(_of_viewer(vector))
        case _, Party.DEVICE:
            return tuple(_of_device(vector))
        case _:
            return ()


def _of_viewer(vector: Vector) -> Iterator[Play]:
    if _is_over_the_limit(vector):
        yield Play(Place.VIEWER_FIRST, Reaction.TOO_LARGE, "PW-LIM-4")
        yield Play(Place.VIEWER_LATER, Reaction.TOO_LARGE, "PW-LIM-4")
        return
    match vector.outcome:
        case {"accepted": {"api_key": key}} if key == EXAMPLE_KEY:
            yield Play(Place.VIEWER_FIRST, Reaction.INIT, _of_limit(vector))
        case {"accepted": _}:
            yield Play(Place.VIEWER_FIRST, Reaction.CLOSED_4001, "PW-AUTH-7")
        case {"ignored": _}:
            yield Play(Place.VIEWER_FIRST, Reaction.CLOSED_4001, "PW-AUTH-5")
        case _:
            yield Play(Place.VIEWER_FIRST, Reaction.CLOSED_4001, vector.clause)
    yield Play(Place.VIEWER_LATER, Reaction.NOTHING, "PW-AUTH-13")


def _of_device(vector: Vector) -> Iterator[Play]:
    if _is_over_the_limit(vector):
        yield Play(Place.DEVICE_FIRST, Reaction.TOO_LARGE, "PW-LIM-4")
        yield Play(Place.DEVICE_LATER, Reaction.TOO_LARGE, "PW-LIM-3")
        return
    match vector.outcome:
        case {"accepted": {"type": "device_auth", "api_key": key}}:
            if key == EXAMPLE_KEY:
                yield Play(Place.DEVICE_FIRST, Reaction.AUTHENTICATED, vector.clause)
            else:
                yield Play(Place.DEVICE_FIRST, Reaction.ERROR_AND_CLOSE, "PW-DEV-5")
            return
        case {"accepted": {"type": "video_frame"}}:
            later = Play(Place.DEVICE_LATER, Reaction.RELAYED, _of_limit(vector))
        case {"refused": str(reason)} if "video_frame" in vector.input:
            unaltered = _UNALTERED.get(reason, "")
            later = Play(Place.DEVICE_LATER, Reaction.NOTHING, vector.clause, unaltered)
        case _:
            later = Play(Place.DEVICE_LATER, Reaction.NOTHING, vector.clause)
    yield Play(Place.DEVICE_FIRST, Reaction.ERROR_AND_CLOSE, "PW-DEV-17")
    if vector.clause != "PW-DEV-17":  # a second device_auth has no clause
        yield later


def _is_over_the_limit(vector: Vector) -> bool:
    return vector.outcome.get("refused") == "too_large"


def _of_limit(vector: Vector) -> str:
    """The clause of a message that is accepted: PW-LIM-3 is about those that are not."""
    return "PW-LIM-4" if vector.clause == "PW-LIM-3" else vector.clause
