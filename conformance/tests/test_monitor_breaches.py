"""Each breach, planted in conversations with a correct gateway, is found under its own clause and under no other."""

import base64
import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeAlias

import pytest
from attrs import evolve, field, frozen
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from plexwire_conformance.recording.recorder import (
    Entry,
    Kind,
    RecordedConversation,
    Way,
    WireRecorder,
    digest,
)
from plexwire_conformance.report.sentences import lacking
from plexwire_conformance.run.monitor import monitor

HOME, FOREIGN = "home", "foreign"
BEGAN = 1_750_000_000_000  # Unix ms of the frame before the first

# ── conversations with a correct gateway ─────────────────────────────────────────────────────


def _jpeg(number: int) -> bytes:
    return b"\xff\xd8" + f"a picture {number}".encode()


@cache
def _frame(number: int, source_id: str, camera_id: str) -> str:
    members = {
        "type": "video_frame",
        "source_id": source_id,
        "camera_id": camera_id,
        "frame": base64.b64encode(_jpeg(number)).decode(),
        "width": 640 + number,
        "height": 480 + number,
        "timestamp": BEGAN + number,
    }
    return json.dumps(members)


@cache
def _entry(peer: str, at: float, way: Way, text: str) -> Entry:
    return WireRecorder(peer, ()).text(at, way, text)


VIEWERS = (
    ("early", HOME, "one", ("front", "rear")),
    ("late", HOME, "one", ("front", "")),
    ("other", HOME, "two", ("front",)),
    ("foreign", FOREIGN, "one", ("front",)),
)
DEVICES = ((HOME, "one"), (HOME, "two"), (FOREIGN, "one"))
#: Frames, one a second; when the first few are over, all viewers but the early one come.
EARLY, ALL = 9, 36


def _watched(taken: Mapping[str, int]) -> list[RecordedConversation]:
    """Return what happened: devices and cameras take turns, and *taken* says by bits which frames a viewer got."""
    devices: list[list[Entry]] = [[] for _ in DEVICES]
    viewers: dict[str, list[Entry]] = {}
    for name, *_ in VIEWERS:
        at = 0.0 if name == "early" else EARLY + 0.1
        viewers[name] = [
            _entry(name, at, Way.SENT, '{"type": "auth", "api_key": "plx_x"}'),
            _entry(name, at, Way.RECEIVED, '{"type": "init", "online_sources": []}'),
        ]
    for number in range(1, ALL + 1):
        organisation, source = DEVICES[number % 3]
        camera = ("front", "rear", "")[number // 3 % 3]
        text = _frame(number, source, camera)
        devices[number % 3].append(_entry("device", number, Way.SENT, text))
        for name, whose, watched, cameras in VIEWERS:
            there = name == "early" or number > EARLY
            fits = (whose, watched) == (organisation, source) and camera in cameras
            if there and fits and taken[name] >> number & 1:
                viewers[name].append(_entry(name, number + 0.01, Way.RECEIVED, text))
    conversations = [
        RecordedConversation(
            name=f"device {number}",
            role="device",
            source_id=source_id,
            cameras=(),
            organisation=organisation,
            entries=tuple(devices[number]),
        )
        for number, (organisation, source_id) in enumerate(DEVICES)
    ]
    return conversations + [
        RecordedConversation(
            name=name,
            role="viewer",
            source_id=source_id,
            cameras=cameras,
            organisation=organisation,
            entries=tuple(viewers[name]),
        )
        for name, organisation, source_id, cameras in VIEWERS
    ]


def _is_frame(entry: Entry) -> bool:
    return entry.way is Way.RECEIVED and entry.type == "video_frame"


#: By bits: everything, or what a viewer that could not keep up had.
_taken = st.fixed_dictionaries(
    {name: st.just(-1) | st.integers(0, 2**ALL * 2 - 1) for name, *_ in VIEWERS}
)


@settings(deadline=None)
@given(_taken)
def test_monitor_sees_what_is_right_and_finds_nothing(taken: dict[str, int]) -> None:
    assert monitor(_watched(taken)) == []


# ── breaches ─────────────────────────────────────────────────────────────────────────────────


@frozen
class Scene:
    """The conversations, the viewer in which something is about to be broken, and a hand that draws."""

    all: list[RecordedConversation] = field(repr=False)
    viewer: RecordedConversation
    draw: Callable[..., Any]

    @property
    def entries(self) -> list[Entry]:
        return list(self.viewer.entries)

    def frame(self) -> int:
        """Return the place of some frame that the viewer got."""
        places = [place for place, entry in enumerate(self.entries) if _is_frame(entry)]
        assume(places)
        return int(self.draw(st.sampled_from(places)))


Breach: TypeAlias = Callable[[Scene], list[Entry]]

#: Where the auth and the init are in every viewer's conversation.
AUTH, INIT = 0, 1


def _text(at: float, text: str) -> Entry:
    return WireRecorder("viewer", ()).text(at, Way.RECEIVED, text)


def says(text: str, place: int | None = None) -> Breach:
    """Let the gateway say *text*, in the end or at *place*."""

    def breach(scene: Scene) -> list[Entry]:
        entries = scene.entries
        at = entries[-1 if place is None else place].at
        entries.insert(len(entries) if place is None else place, _text(at, text))
        return entries

    return breach


def happens(kind: Kind) -> Breach:
    return lambda scene: [
        *scene.entries,
        WireRecorder("viewer", ()).event(scene.entries[-1].at, Way.RECEIVED, kind, "what came"),
    ]


def init(text: str) -> Breach:
    """Put *text* in the place of the init."""
    return lambda s: [s.entries[AUTH], _text(s.entries[INIT].at, text), *s.entries[INIT + 1 :]]


def lists(sources: object) -> Breach:
    return init(json.dumps({"type": "init", "online_sources": sources}))


def member(name: str, value: object) -> Breach:
    def breach(scene: Scene) -> list[Entry]:
        entries, place = scene.entries, scene.frame()
        entries[place] = evolve(entries[place], body={**(entries[place].body or {}), name: value})
        return entries

    return breach


def without(name: str) -> Breach:
    def breach(scene: Scene) -> list[Entry]:
        entries, place = scene.entries, scene.frame()
        body = {key: value for key, value in (entries[place].body or {}).items() if key != name}
        entries[place] = evolve(entries[place], body=body)
        return entries

    return breach


def spelled(spell: Callable[[str], str]) -> Breach:
    """Spell the same picture in another base64."""

    def breach(scene: Scene) -> list[Entry]:
        entries, place = scene.entries, scene.frame()
        body = entries[place].body or {}
        standard = base64.b64encode(_jpeg(body["timestamp"] - BEGAN)).decode()
        assume(spell(standard) != standard)
        text = json.dumps({**body, "frame": spell(standard)})
        entries[place] = _text(entries[place].at, text)
        return entries

    return breach


def twice(scene: Scene) -> list[Entry]:
    return [*scene.entries, evolve(scene.entries[scene.frame()], at=scene.entries[-1].at)]


def overtaken(scene: Scene) -> list[Entry]:
    """Let a frame come right behind a later one of its camera."""
    entries = scene.entries
    pairs = [
        (one, two)
        for one, first in enumerate(entries)
        for two, second in enumerate(entries[one + 1 :], one + 1)
        if _is_frame(first) and _is_frame(second)
        if (first.body or {})["camera_id"] == (second.body or {})["camera_id"]
    ]
    assume(pairs)
    one, two = scene.draw(st.sampled_from(pairs))
    late = evolve(entries[one], at=entries[two].at)
    return [*entries[:one], *entries[one + 1 : two + 1], late, *entries[two + 1 :]]


def replayed(scene: Scene) -> list[Entry]:
    """Give the late viewer a frame that the early one had before."""
    early = next(c for c in scene.all if c.name == "early")
    at = scene.entries[INIT].at
    old = [e for e in early.entries if _is_frame(e) and e.at < at]
    fronts = [e for e in old if (e.body or {})["camera_id"] == "front"]
    assume(fronts)
    return [*scene.entries[: INIT + 1], evolve(fronts[-1], at=at), *scene.entries[INIT + 1 :]]


def stray(organisation: str, source_id: str, camera_id: str) -> Breach:
    """Give the home viewers of `one` a frame that was sent meanwhile, and not for them."""

    def breach(scene: Scene) -> list[Entry]:
        sender = next(
            c
            for c in scene.all
            if (c.role, c.organisation, c.source_id) == ("device", organisation, source_id)
        )
        sent = [
            e
            for e in sender.entries
            if (e.body or {})["camera_id"] == camera_id and e.at > scene.entries[AUTH].at
        ]
        strays = evolve(scene.draw(st.sampled_from(sent)), way=Way.RECEIVED, at=ALL + 1.0)
        return [*scene.entries, strays]

    return breach


def frame_first(scene: Scene) -> list[Entry]:
    entries = scene.entries
    assume(len(entries) > INIT + 1 and _is_frame(entries[INIT + 1]))
    entries[INIT], entries[INIT + 1] = entries[INIT + 1], entries[INIT]
    return entries


def init_first(scene: Scene) -> list[Entry]:
    return [scene.entries[INIT], scene.entries[AUTH], *scene.entries[INIT + 1 :]]


def reconnecting(**members: object) -> Breach:
    return says(json.dumps({"type": "gateway_reconnecting", **members}))


#: In whose conversations a breach can be planted, where not in any.
WHOSE = {
    "an invented frame": ("early", "late", "foreign"),
    "an invented frame of another source": ("other",),
    "a frame from before": ("late",),
    "a camera not asked for": ("late",),
    "the empty camera, not asked for": ("early",),
    "another source": ("early", "late"),
    "another organisation": ("early", "late"),
}

NUMBERS = ("width", "height", "timestamp")
MEMBERS = ("source_id", "camera_id", "frame", *NUMBERS)

WRONG_TYPE = {
    name: f"PW-FRAME-1/member-not-a-{'whole-number' if name in NUMBERS else 'string'}"
    for name in MEMBERS
}

#: Each breach with the check that finds it, and the JSON path of the member that shows it.
BREACHES: dict[str, tuple[str, str, Breach]] = {
    "an altered picture": ("PW-FRAME-2/altered", "frame", member("frame", digest(b"another"))),
    "an invented frame": ("PW-FRAME-2/unknown-picture", "frame", says(_frame(99, "one", "front"))),
    "an invented frame of another source": (
        "PW-ISO-2/other-source",
        "source_id",
        says(_frame(99, "one", "front")),
    ),
    "another width": ("PW-FRAME-3/other-size", "width", member("width", 7)),
    "a height of zero": ("PW-FRAME-3/other-size", "height", member("height", 0)),
    "a negative width": ("PW-FRAME-3/other-size", "width", member("width", -1)),
    "a stamp in seconds": (
        "PW-FRAME-4/other-timestamp",
        "timestamp",
        member("timestamp", BEGAN // 1000),
    ),
    "a stamp of the gateway": (
        "PW-FRAME-4/other-timestamp",
        "timestamp",
        member("timestamp", BEGAN + 70_000),
    ),
    "another camera's name": ("PW-FRAME-8/other-camera", "camera_id", member("camera_id", "Front")),
    "another source's name": (
        "PW-FRAME-8/other-source",
        "source_id",
        member("source_id", "two words"),
    ),
    "a frame twice": ("PW-FRAME-6/repeated", "", twice),
    "a frame that was overtaken": ("PW-FRAME-5/out-of-order", "", overtaken),
    "a frame from before": ("PW-FRAME-7/replayed", "", replayed),
    "a camera not asked for": ("PW-ISO-1/other-camera", "", stray(HOME, "one", "rear")),
    "the empty camera, not asked for": ("PW-ISO-1/other-camera", "", stray(HOME, "one", "")),
    "another source": ("PW-ISO-2/other-source", "", stray(HOME, "two", "front")),
    "another organisation": ("PW-ISO-3/other-organisation", "", stray(FOREIGN, "one", "front")),
    "a frame before the init": ("PW-INIT-3/frame-before-init", "", frame_first),
    "a second init": ("PW-INIT-1/second-init", "", says('{"type": "init", "online_sources": []}')),
    "the init before the auth": ("PW-AUTH-10/message-before-auth", "", init_first),
    "a word before the auth": (
        "PW-AUTH-10/message-before-auth",
        "",
        says('{"type": "hello"}', AUTH),
    ),
    "an init without sources": ("PW-INIT-4/no-list", "online_sources", init('{"type": "init"}')),
    "no list of sources": ("PW-INIT-4/no-list", "online_sources", lists({"one": ["front"]})),
    "null for sources": ("PW-INIT-4/no-list", "online_sources", lists(None)),
    "a source that is a word": (
        "PW-INIT-4/source-not-an-object",
        "online_sources[0]",
        lists(["one"]),
    ),
    "a source without cameras": (
        "PW-INIT-4/cameras-not-a-list",
        "online_sources[0].cameras",
        lists([{"source_id": "one"}]),
    ),
    "a source without id": (
        "PW-INIT-4/source-id-not-a-string",
        "online_sources[0].source_id",
        lists([{"cameras": []}]),
    ),
    "a source id that is a number": (
        "PW-INIT-4/source-id-not-a-string",
        "online_sources[0].source_id",
        lists([{"source_id": 1, "cameras": []}]),
    ),
    "cameras that are a word": (
        "PW-INIT-4/cameras-not-a-list",
        "online_sources[0].cameras",
        lists([{"source_id": "one", "cameras": "front"}]),
    ),
    "a camera that is null": (
        "PW-INIT-4/cameras-not-strings",
        "online_sources[0].cameras[0]",
        lists([{"source_id": "one", "cameras": [None]}]),
    ),
    "a good source and a bad one": (
        "PW-INIT-4/source-not-an-object",
        "online_sources[1]",
        lists([{"source_id": "a", "cameras": []}, 1]),
    ),
    **{f"no {name}": (WRONG_TYPE[name], name, without(name)) for name in MEMBERS},
    **{
        f"{name} is {json.dumps(value)}": (WRONG_TYPE[name], name, member(name, value))
        for name in MEMBERS
        for value in (None, True, list[int](), "7" if name in NUMBERS else 7)
    },
    "half a pixel": ("PW-FRAME-1/member-not-a-whole-number", "width", member("width", 0.5)),
    "a picture that is an object": (
        "PW-FRAME-1/member-not-a-string",
        "frame",
        member("frame", "an object"),
    ),
    "base64 without padding": (
        "PW-FRAME-11/bad-base64",
        "frame",
        spelled(lambda text: text.rstrip("=")),
    ),
    "base64 in lines": (
        "PW-FRAME-11/bad-base64",
        "frame",
        spelled(lambda text: f"{text[:8]}\r\n{text[8:]}"),
    ),
    "base64 for URLs": (
        "PW-FRAME-11/bad-base64",
        "frame",
        spelled(lambda text: text.replace("/", "_")),
    ),
    "base64 behind a data URL": (
        "PW-FRAME-11/bad-base64",
        "frame",
        spelled(lambda text: f" {text}"),
    ),
    "text that is no JSON": ("PW-FRAME-1/not-json", "", says("{'type': 'x'}")),
    "JSON that is no object": ("PW-FRAME-1/not-json", "", says('["video_frame"]')),
    "JSON with NaN": ("PW-FRAME-1/not-json", "", says('{"type": "x", "a": NaN}')),
    "a binary message": ("PW-FRAME-1/binary-message", "", happens(Kind.BINARY)),
    "no WebSocket": ("PW-CONN-6/bad-frame", "", happens(Kind.GARBAGE)),
    "reconnecting without a word": ("PW-RECON-1/bad-member", "attempt", reconnecting()),
    "reconnecting without delay": (
        "PW-RECON-1/bad-member",
        "delay_s",
        reconnecting(attempt=1, max_attempts=5),
    ),
    "an attempt in words": (
        "PW-RECON-1/bad-member",
        "attempt",
        reconnecting(attempt="1", max_attempts=5, delay_s=1),
    ),
    "half an attempt": (
        "PW-RECON-1/bad-member",
        "max_attempts",
        reconnecting(attempt=1, max_attempts=1.5, delay_s=1),
    ),
    "a delay that is true": (
        "PW-RECON-1/bad-member",
        "delay_s",
        reconnecting(attempt=1, max_attempts=2, delay_s=True),
    ),
}


def planted(
    name: str, conversations: list[RecordedConversation], draw: Callable[..., Any]
) -> tuple[int, list[Entry]]:
    """Return which of *conversations* gets the breach called *name*, and its entries with it."""
    whose = WHOSE.get(name, tuple(viewer for viewer, *_ in VIEWERS))
    places = [place for place, c in enumerate(conversations) if c.name in whose]
    place = draw(st.sampled_from(places))
    *_, breach = BREACHES[name]
    return place, breach(Scene(conversations, conversations[place], draw))


@pytest.mark.parametrize("name", BREACHES)
@settings(deadline=None, max_examples=10)
@given(data=st.data())
def test_monitor_sees_one_breach_and_finds_it_under_its_check_alone(
    name: str, data: st.DataObject
) -> None:
    conversations = _watched(data.draw(_taken))
    place, entries = planted(name, conversations, data.draw)
    viewer = evolve(conversations[place], entries=tuple(entries))
    conversations[place] = viewer

    findings = monitor(conversations)

    check, path, _ = BREACHES[name]
    assert [(finding.check, finding.path) for finding in findings] == [(check, path)]
    (finding,) = findings
    assert finding.connections == 1
    assert not lacking(finding)
    assert finding.timeline
    assert all(entry in entries for entry in finding.timeline)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.sampled_from(sorted(set(BREACHES) - set(WHOSE))), min_size=2, max_size=2),
    st.data(),
)
def test_monitor_sees_a_breach_in_each_of_two_viewers_and_finds_both(
    names: list[str], data: st.DataObject
) -> None:
    conversations = _watched(dict.fromkeys((name for name, *_ in VIEWERS), -1))
    for place, name in zip((3, 4), names, strict=True):
        scene = Scene(conversations, conversations[place], data.draw)
        *_, breach = BREACHES[name]
        entries = breach(scene)
        conversations[place] = evolve(scene.viewer, entries=tuple(entries))
    found = {finding.check for finding in monitor(conversations)}
    assert found >= {BREACHES[name][0] for name in names}


def test_monitor_is_asked_twice_and_says_the_same() -> None:
    conversations = _watched(dict.fromkeys((name for name, *_ in VIEWERS), -1))
    scene = Scene(conversations, conversations[-1], lambda _: None)
    conversations[-1] = evolve(scene.viewer, entries=tuple(says("no JSON")(scene)))
    assert monitor(iter(conversations)) == monitor(conversations) != []
