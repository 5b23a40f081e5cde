"""A viewer's first message, edited step by step, cut anywhere, with control frames in between."""

import json
from collections.abc import Iterator
from typing import Any, Final

from attrs import define, field
from hypothesis import strategies as st

from plexwire_conformance.recording.recorder import strict_json
from plexwire_conformance.run.checks import NO_CLOSE_FRAME, NOT_CLOSED, WRONG_CLOSE_CODE
from plexwire_conformance.run.stage import VIEWER_OPENS, Inconclusive, Stage
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.scripts.properties import Property, Script, Step, register
from plexwire_conformance.wire.framing import Opcode, encode_frame
from plexwire_conformance.wire.peer import ClosingKind, HandshakeFailed

#: Stands for the key in scripts, which hold none.
_KEY: Final = "$KEY"

#: So deep every gateway reads, whatever its limit; the message itself is the first level.  [PW-LIM-7]
_MODEST_DEPTH: Final = 4
#: So many bytes every gateway reads before it knows who sends them.  [PW-LIM-4]
_MODEST_BYTES: Final = 2048

_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(("auth", "AUTH", " auth", "device_auth", _KEY, f"{_KEY} ", "plx_", "")),
    st.text(max_size=12),
    st.lists(st.none(), max_size=2).map(tuple),
)
_names = st.sampled_from(("type", "api_key", "API_KEY", "key", "token", "source_id", ""))

_step: Final[st.SearchStrategy[Step]] = st.one_of(
    st.tuples(st.just("set"), _names, _values),
    st.tuples(st.just("add"), st.text(min_size=1, max_size=8), _values),
    st.tuples(st.just("drop"), st.sampled_from(("type", "api_key"))),
    st.tuples(st.just("nest"), st.sampled_from((1, 2, 3, 60))),
    st.tuples(st.just("wrap")),
    st.tuples(st.just("prepend"), st.sampled_from((" ", "\n\t", "x", "﻿", "[", "\x00"))),
    st.tuples(st.just("append"), st.sampled_from((" ", "\r\n", "x", "}", ",", "\x00", "{}"))),
    st.tuples(st.just("escape")),
    st.tuples(st.just("pad"), st.sampled_from((1, 10, 1000))),
    st.tuples(st.just("cut"), st.integers(0, 1000)),
    st.tuples(st.just("ping")),
    st.tuples(st.just("pong")),
)


def _say(step: Step) -> str:
    match step:
        case ("set", name, value):
            return f"set {name!r} to {value!r}"
        case ("add", name, value):
            return f"add a member {name!r}: {value!r}"
        case ("drop", name):
            return f"leave out {name!r}"
        case ("nest", depth):
            return f"add a member nested {depth} deep"
        case ("prepend" | "append" as verb, text):
            return f"{verb} {text!r}"
        case ("pad", count):
            return f"pad with {count} spaces"
        case ("cut", permille):
            return f"cut the message at {permille} of 1000"
        case ("ping" | "pong" as what,):
            return f"put a {what} into the cut"
        case (verb, *_):
            return "put it into a list" if verb == "wrap" else "escape its letters"
        case _:
            return str(step)


@define
class _Draft:
    """The message while it is edited."""

    members: dict[str, Any] = field(factory=lambda: {"type": "auth", "api_key": _KEY})
    before: str = ""
    after: str = ""
    wrapped: bool = False
    escaped: bool = False
    cuts: list[int] = field(factory=list[int])
    between: list[Opcode] = field(factory=list[Opcode])

    def edit(self, step: Step) -> None:
        match step:
            case ("set" | "add", name, value):
                self.members[name] = value
            case ("drop", name):
                self.members.pop(name, None)
            case ("nest", depth):
                nested: Any = 0
                for _ in range(depth):
                    nested = [nested]
                self.members["nested"] = nested
            case ("wrap",):
                self.wrapped = True
            case ("escape",):
                self.escaped = True
            case ("prepend", text):
                self.before += text
            case ("append", text):
                self.after += text
            case ("pad", count):
                self.after += " " * count
            case ("cut", permille):
                self.cuts.append(permille)
            case ("ping",):
                self.between.append(Opcode.PING)
            case ("pong",):
                self.between.append(Opcode.PONG)
            case _:
                pass

    def text(self, key: str) -> str:
        text = json.dumps([self.members] if self.wrapped else self.members)
        text = text.replace(json.dumps(_KEY)[1:-1], json.dumps(key)[1:-1])
        if self.escaped:
            text = "".join(f"\\u{ord(c):04x}" if c in "auth_plx" else c for c in text)
        return f"{self.before}{text}{self.after}"


def _verdict_on(text: str, key: str) -> tuple[str, str | None]:
    """Return what a gateway owes to *text*: `accept`, `refuse` under a clause, or `either` where the sources are silent."""
    if len(text.encode("utf-8", "surrogatepass")) > _MODEST_BYTES:
        return "either", None
    try:
        body = strict_json(text)
    except ValueError:
        if _begins_with_an_object(text):
            # A parser of a stream of values stops after the first one.  [PW-AUTH-17]
            return "either", None
        return ("either", None) if text.lstrip("﻿ \n\t") != text else ("refuse", "PW-AUTH-6")
    if not isinstance(body, dict) or ("api_key" not in body and body.get("type") == "auth"):
        return "refuse", "PW-AUTH-6"
    if body.get("type") != "auth":
        return "refuse", "PW-AUTH-5"
    if not isinstance(body["api_key"], str):
        return "refuse", "PW-AUTH-6"
    if _depth(body) > _MODEST_DEPTH:
        return "either", None
    if body["api_key"] != key:
        # A gateway may trim what was pasted with a space around it.
        return ("either", None) if body["api_key"].strip() == key else ("refuse", "PW-AUTH-7")
    return "accept", "PW-AUTH-2" if set(body) == {"type", "api_key"} else "PW-AUTH-11"


def _begins_with_an_object(text: str) -> bool:
    try:
        value, _ = json.JSONDecoder().raw_decode(text.lstrip(" \t\r\n"))
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict)


def _depth(value: object) -> int:
    inner = list(value.values()) if isinstance(value, dict) else value
    return 1 + max(map(_depth, inner), default=0) if isinstance(inner, list) else 0


async def _play(stage: Stage, trial: Trial, script: Script) -> None:
    draft = _Draft()
    for step in script:
        draft.edit(step)
    key = stage.target.keys.api_key
    text = draft.text(key)
    wanted, clause = _verdict_on(text, key)
    try:
        viewer = await stage.connect_viewer()
    except HandshakeFailed as error:
        raise Inconclusive(error.problem, VIEWER_OPENS) from None
    await viewer.peer.send_raw(b"".join(_frames(text, draft)), f"an auth: {text[:100]}")
    if wanted == "refuse" and clause is not None:
        ending = await viewer.peer.until_ended(stage.tolerances.immediate)
        if ending.kind is ClosingKind.CLOSE_FRAME and ending.code in (4001, 1007):
            return
        limit = stage.tolerances.immediate
        expected = {"stimulus": f"the first message “{text}”", "code": 4001, "within": limit}
        match ending.kind:
            case ClosingKind.CLOSE_FRAME:
                name = WRONG_CLOSE_CODE
            case ClosingKind.OPEN:
                name = NOT_CLOSED
            case _:
                clause, name = "PW-CLOSE-1", NO_CLOSE_FRAME
        trial.find(f"{clause}/{name}", expected, {"ending": viewer.peer.outcome()})
    else:
        init = await viewer.await_init(stage.tolerances.immediate)
        if wanted == "accept" and init is None:
            split = len(draft.cuts) > 0 or len(draft.between) > 0
            blamed = "PW-CONN-2" if split and clause == "PW-AUTH-2" else clause or "PW-AUTH-2"
            expected = {"stimulus": f"the auth “{text}”", "within": stage.tolerances.immediate}
            check = {
                "PW-CONN-2": "PW-CONN-2/fragments-not-read",
                "PW-AUTH-11": "PW-AUTH-11/unknown-member-refused",
            }.get(blamed, "PW-AUTH-2/valid-auth-refused")
            trial.find(check, expected, {"ending": viewer.peer.outcome()})


def _frames(text: str, draft: _Draft) -> Iterator[bytes]:
    data = text.encode("utf-8", "surrogatepass")
    edges = [0, *sorted(len(data) * cut // 1000 for cut in draft.cuts), len(data)]
    last = len(edges) - 2
    for number in range(last + 1):
        opcode = Opcode.CONTINUATION if number else Opcode.TEXT
        yield encode_frame(opcode, data[edges[number] : edges[number + 1]], fin=number == last)
        if number < last:
            yield from (encode_frame(control, b"plexwire") for control in draft.between)


AUTH: Final = register(
    Property(
        id="scripts.auth",
        title="Whatever the first message is, and however it is cut, a valid auth is accepted and any other refused.",
        clauses=(
            "PW-AUTH-2",
            "PW-AUTH-5",
            "PW-AUTH-6",
            "PW-AUTH-7",
            "PW-AUTH-11",
            "PW-CLOSE-1",
            "PW-CONN-2",
        ),
        needs=frozenset(),
        scripts=st.lists(_step, max_size=5).map(tuple),
        play=_play,
        say=_say,
        connections=1,
        from_silence=frozenset(
            {"PW-AUTH-2", "PW-AUTH-5", "PW-AUTH-6", "PW-AUTH-7", "PW-AUTH-11", "PW-CONN-2"}
        ),
    )
)
