"""What a viewer keeps its stream through: the unknown, the unreadable, and whatever a gateway may send."""

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from plexwire_conformance.program.case import program_case
from plexwire_conformance.program.endurance import Strain, endure
from plexwire_conformance.program.served import ServedViewer
from plexwire_conformance.program.stage import Play, ProgramStage

#: Bytes that a viewer's message may have.  [PW-VIEW-6]
_LARGEST: Final = 2_097_152
_ENVELOPE: Final = 512

ViewerStrain = Strain[ServedViewer]
Making = Callable[[ServedViewer], Mapping[str, Any] | str | bytes]


def _saying(what: str, make: Making) -> ViewerStrain:
    async def does(viewer: ServedViewer) -> None:
        await viewer.say(make(viewer))
        await viewer.show()

    return Strain(what, does)


async def _watching(play: Play) -> ServedViewer:
    viewer = await play.viewer()
    await viewer.show()
    return viewer


_UNKNOWN: Final = (
    _saying("a message of an unknown type", lambda v: {"type": "plexwire_unknown", "value": 1}),
    _saying(
        "a source_status message",
        lambda v: {"type": "source_status", "sources": [{"online": True}]},
    ),
    _saying("a frame with an unknown member", lambda v: v.frame(plexwire_unknown={"a": [1, None]})),
    _saying(
        "a thermal frame",
        lambda v: v.frame(
            video_type="thermal",
            sensor_width=8,
            sensor_height=8,
            temp_min=-3.5,
            temp_max=81.25,
            temps=[20.5] * 64,
        ),
    ),
)


def _reconnecting(attempt: int, delay_s: float = 2) -> dict[str, Any]:
    return {
        "type": "gateway_reconnecting",
        "attempt": attempt,
        "max_attempts": 5,
        "delay_s": delay_s,
    }


@program_case(
    "viewer.unknown",
    "A viewer ignores message types and members that it does not know.",
    "PW-VIEW-1",
    takes=4.0,
)
async def _unknown(stage: ProgramStage) -> None:
    await endure(stage, "PW-VIEW-1/left", _UNKNOWN, _watching)
    await endure(
        stage,
        "PW-VIEW-1/left",
        [
            _saying(
                "an init with unknown members",
                lambda v: {
                    "type": "init",
                    "online_sources": [
                        {
                            "source_id": v.source_id,
                            "cameras": list(v.cameras),
                            "platform": "python-sdk",
                            "sensors": None,
                        }
                    ],
                    "plexwire_unknown": [],
                },
            )
        ],
        Play.unanswered_viewer,
    )


_UNREADABLE: Final = (
    # No source has it for viewers, and many a viewer takes it for the end.
    _saying(
        "an error message with an unknown code",
        lambda v: {"type": "error", "code": "PLEXWIRE_UNKNOWN", "detail": "nothing is wrong"},
    ),
    _saying("a text that is no JSON", lambda v: "{"),
    _saying("a JSON array", lambda v: "[]"),
    _saying("a message without a type", lambda v: {"value": 1}),
    _saying("a message whose type is a number", lambda v: {"type": 7}),
    _saying("a binary message", lambda v: b"\x00\x01plexwire"),
    _saying("a video_frame without members", lambda v: {"type": "video_frame"}),
    _saying("a frame whose picture is no base64", lambda v: v.frame(frame="%%%")),
    _saying("a frame whose picture is null", lambda v: v.frame(frame=None)),
    _saying("a frame whose width is a word", lambda v: v.frame(width="wide")),
    _saying(
        "a frame with NaN",
        lambda v: json.dumps(v.frame(temp_max=float("nan"), video_type="thermal")),
    ),
    _saying(
        "a frame whose picture does not decode",
        lambda v: v.frame(frame=base64.b64encode(b"\xff\xd8no JPEG").decode()),
    ),
    _saying("a frame of 0 × 0", lambda v: v.frame(width=0, height=0)),
    _saying("a frame with an empty picture", lambda v: v.frame(frame="")),
    _saying("a frame of 1970", lambda v: v.frame(timestamp=0)),
    _saying("a frame of before 1970", lambda v: v.frame(timestamp=-1)),
    _saying("a frame whose numbers are written as 8.0", lambda v: v.frame(width=8.0, height=8.0)),
    _saying("a frame without source_id", lambda v: _without(v.frame(), "source_id")),
    _saying("a frame of a camera that it did not ask for", lambda v: v.frame(camera_id="その他")),
    _saying("a frame of another source", lambda v: v.frame(source_id="another-source")),
)


def _without(members: dict[str, Any], name: str) -> dict[str, Any]:
    del members[name]
    return members


@program_case(
    "viewer.unreadable",
    "A viewer passes over what it cannot read, and keeps the stream.",
    "PW-VIEW-3",
    takes=11.0,
)
async def _unreadable(stage: ProgramStage) -> None:
    await endure(stage, "PW-VIEW-3/left", _UNREADABLE, _watching)


def _listing(sources: Any) -> dict[str, Any]:
    return {"type": "init", "online_sources": sources}


_INITS: Final = (
    _saying("an init with null for online_sources", lambda v: _listing(None)),
    _saying("an init with no online_sources", lambda v: {"type": "init"}),
    _saying(
        "an init with null for cameras",
        lambda v: _listing([{"source_id": v.source_id, "cameras": None}]),
    ),
    _saying(
        "an init with cameras as objects",
        lambda v: _listing(
            [
                {
                    "source_id": v.source_id,
                    "cameras": [{"camera_id": v.cameras[0], "video_type": "rgb"}],
                    "platform": "python-sdk",
                    "sensors": [],
                }
            ]
        ),
    ),
)


@program_case(
    "viewer.init",
    "A viewer goes on after a second `init`, an `init` that it cannot read, and a frame before its `init`.",
    "PW-VIEW-5",
    takes=8.0,
)
async def _init(stage: ProgramStage) -> None:
    for strain in _INITS:
        await endure(stage, "PW-VIEW-5/left", [strain], Play.unanswered_viewer)
    await endure(
        stage,
        "PW-VIEW-5/left-second",
        [
            _saying("a second init", lambda v: v.init()),
            _saying("a second init that lists nothing", lambda v: _listing([])),
        ],
        _watching,
    )

    async def shows_early(viewer: ServedViewer) -> None:
        await viewer.show()
        await viewer.say(viewer.init())
        await viewer.show()

    early = Strain("a frame before the init", shows_early)
    await endure(stage, "PW-VIEW-5/left-early", [early], Play.unanswered_viewer)


@program_case(
    "viewer.reconnecting",
    "A viewer does not close because of `gateway_reconnecting`.",
    "PW-RECON-2",
    takes=4.0,
)
async def _reconnecting_case(stage: ProgramStage) -> None:
    async def outage(viewer: ServedViewer) -> None:
        for attempt in range(1, 6):
            await viewer.say(_reconnecting(attempt))
        await viewer.show()

    async def first(viewer: ServedViewer) -> None:
        await viewer.say(_reconnecting(1))

    async def again(viewer: ServedViewer) -> None:
        await viewer.say(_reconnecting(1, 0.5))
        await viewer.say(viewer.init())
        await viewer.show()

    strains = [
        Strain("a gateway_reconnecting", first),
        Strain("an outage of five attempts", outage),
        Strain("an outage that ends with a second init", again),
    ]
    await endure(stage, "PW-RECON-2/left", strains, _watching, settles_s=1.0)


@program_case(
    "viewer.large",
    "A viewer accepts messages of up to 2 MiB.",
    "PW-VIEW-6",
    takes=3.0,
)
async def _large(stage: ProgramStage) -> None:
    def of(size: int) -> ViewerStrain:
        jpeg = (size - _ENVELOPE) * 3 // 4
        return _saying(f"a message of just under {size} bytes", lambda v: v.frame(size=jpeg))

    sizes = [of(size) for size in (131_072, 1_048_576, 1_398_512, _LARGEST)]
    await endure(stage, "PW-VIEW-6/left", sizes, _watching, settles_s=1.0)
