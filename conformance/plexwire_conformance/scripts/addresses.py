"""Addresses of viewers: any ids, encodings, orders and further parameters."""

import re
from typing import Final
from urllib.parse import quote

from hypothesis import strategies as st

from plexwire_conformance.run.case import Need
from plexwire_conformance.run.stage import VIEWER_OPENS, Inconclusive, Stage
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.scripts.properties import Property, Script, Step, register
from plexwire_conformance.wire.peer import HandshakeFailed

_ids = st.one_of(
    st.sampled_from(
        ("front", "rear", "camera:0", "front/left", "a&b=c", "50%", "%41", "a+b", "#1")
    ),
    st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=16),
)
_ESCAPE: Final = re.compile("%[0-9A-F]{2}")
_encodings = st.sampled_from(("usual", "all", "lower"))

_step: Final[st.SearchStrategy[Step]] = st.one_of(
    st.tuples(st.just("camera"), _ids, _encodings),
    st.tuples(
        st.just("parameter"),
        st.sampled_from(("utm_source", "camera", "cameras", "Camera_id", "x")),
        st.text("abc&=%+", max_size=6),
    ),
    st.tuples(st.just("timeout"), st.integers(60, 86_400)),
    st.tuples(st.just("escape-source"), st.integers(0, 11)),
)


def _say(step: Step) -> str:
    match step:
        case ("camera", name, "usual"):
            return f"ask for camera {name!r}"
        case ("camera", name, encoding):
            how = "with every byte escaped" if encoding == "all" else "escaped in lower case"
            return f"ask for camera {name!r}, {how}"
        case ("parameter", name, value):
            return f"add the parameter {name}={value!r}"
        case ("timeout", seconds):
            return f"ask for timeout={seconds}"
        case ("escape-source", place):
            return f"escape character {place} of the source id"
        case _:
            return str(step)


def _encoded(text: str, how: str) -> str:
    match how:
        case "all":
            return "".join(f"%{byte:02X}" for byte in text.encode())
        case "lower":
            return _ESCAPE.sub(lambda escape: escape[0].lower(), quote(text, safe=""))
        case _:
            return quote(text, safe="")


async def _play(stage: Stage, trial: Trial, script: Script) -> None:
    source = stage.source()
    path, query, cameras, timed = source, [], [], False
    for step in script:
        match step:
            case ("camera", name, how):
                cameras.append(name)
                query.append(f"camera_id={_encoded(name, how)}")
            case ("parameter", name, value):
                query.append(f"{name}={quote(value, safe='')}")
            case ("timeout", seconds) if not timed:
                timed = True
                query.append(f"timeout={seconds}")
            case ("escape-source", place) if path == source:
                path = f"{source[:place]}%{ord(source[place]):02X}{source[place + 1 :]}"
            case _:
                pass
    wanted = tuple(dict.fromkeys(cameras)) or ("default",)
    target = stage.stream_target(source).replace(source, path)
    asks = f"{target}?{'&'.join(query)}" if query else target
    known = all(step[0] != "parameter" for step in script)
    clause = "PW-ADDR-3" if not cameras else "PW-ADDR-4"
    try:
        device = await stage.open_source(source, wanted)
        viewer = await stage.connect_viewer(source, wanted, request_target=asks)
    except HandshakeFailed as error:
        if len(set(cameras)) < len(cameras):
            raise Inconclusive("refused, perhaps since a camera is named twice") from None
        check = f"{clause if known else 'PW-ADDR-10'}/handshake-refused"
        await trial.refuse(check, {"address": asks}, error)
    if await stage.authenticate(viewer) is None:
        raise Inconclusive("no init", VIEWER_OPENS)
    tries = 1 if stage.tolerances.wait_factor < 1 else 3
    await device.publish("a camera that nobody asked for")
    for camera in wanted:
        if await stage.see(viewer, device, camera, tries) is None:
            blamed = clause if known else "PW-ADDR-10"
            trial.find_and_stop(
                f"{blamed}/camera-not-sent",
                {"address": asks, "camera": camera, "cameras": list(wanted), "tries": tries},
                {"ending": viewer.peer.outcome()},
            )


ADDRESS: Final = register(
    Property(
        id="scripts.address",
        title="Whatever the ids and however they are encoded, the address selects the cameras it names and no other.",
        clauses=("PW-ADDR-2", "PW-ADDR-3", "PW-ADDR-4", "PW-ADDR-10", "PW-ISO-1"),
        needs=frozenset({Need.PUBLISHER}),
        scripts=st.lists(_step, max_size=6).map(tuple),
        play=_play,
        say=_say,
        connections=2,
        from_silence=frozenset({"PW-ADDR-3", "PW-ADDR-4", "PW-ADDR-10"}),
    )
)
