"""What a gateway does with a viewer's first message."""

import json
import math

from plexwire_conformance.recording.recorder import Entry, Kind, Way
from plexwire_conformance.run.case import Need, case
from plexwire_conformance.run.stage import Stage
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.wire.close_codes import UNAUTHORIZED
from plexwire_conformance.wire.peer import ClosingKind, HandshakeFailed
from plexwire_conformance.wire.roles import RawViewer, auth_text, pipelined_auth

NO_API_ACCESS = 4002

_MESSAGES = (Kind.TEXT, Kind.BINARY)
#: How often a choice is tried that could differ once by chance.
_TRIES = 3


async def _refused(
    stage: Stage, trial: Trial, payload: str | bytes, clause: str, stimulus: str
) -> None:
    """Send *payload*, which is *stimulus*, as the first message and judge that it is refused immediately."""
    viewer = await stage.connect_viewer()
    await viewer.peer.send(payload)
    ending = await trial.expect_close(viewer.peer, UNAUTHORIZED, clause, stimulus=stimulus)
    told = [
        entry
        for entry in viewer.peer.entries
        if entry.way is Way.RECEIVED and entry.kind in _MESSAGES
    ]
    if ending.code == UNAUTHORIZED and told:
        trial.find(
            "PW-AUTH-10/message-to-refused", {"stimulus": stimulus}, {"message": told[0].text}
        )
    await viewer.peer.close()


def _is_message(entry: Entry) -> bool:
    return entry.kind in _MESSAGES


async def _still_serves(stage: Stage) -> None:
    """See that the accepted twin of the refused conversation is accepted."""
    await (await stage.open_viewer()).peer.close()


@case(
    "auth.in-time",
    "A viewer that authenticates at once is accepted.",
    "PW-AUTH-2",
    "PW-ADDR-1",
    "PW-ADDR-5",
)
async def auth_in_time(stage: Stage, trial: Trial) -> None:
    viewer = await stage.connect_viewer()
    accepted = await stage.authenticate(viewer) is not None
    if viewer.peer.ending is not None:
        _not_accepted(stage, trial, viewer, "a valid auth")
    elif not accepted:
        trial.inconclusive("no init came, and no close either", "PW-INIT-1", "PW-INIT-2")


def _not_accepted(stage: Stage, trial: Trial, viewer: RawViewer, stimulus: str) -> None:
    trial.find(
        "PW-AUTH-2/valid-auth-refused",
        {"stimulus": stimulus, "within": stage.tolerances.immediate},
        {"ending": viewer.peer.outcome()},
    )


@case(
    "auth.pipelined",
    "Whether an auth is read that arrives in one segment with the handshake, before the answer to it.",
    "PW-AUTH-19",
    takes=2.0,
)
async def auth_pipelined(stage: Stage, trial: Trial) -> None:
    await _still_serves(stage)
    read = False
    for _ in range(_TRIES):
        try:
            viewer = await stage.connect_viewer(pipelined=pipelined_auth(stage.target.keys.api_key))
        except HandshakeFailed:
            continue
        read = read or await viewer.await_init(stage.tolerances.immediate) is not None
        await viewer.peer.close()
    trial.chose("PW-AUTH-19/auth-with-handshake", outcome="read" if read else "not read")


@case(
    "auth.json-spelling",
    "An auth is read as JSON: order, white space and escapes make no difference.",
    "PW-AUTH-2",
    connections=3,
)
async def auth_json_spelling(stage: Stage, trial: Trial) -> None:
    await _still_serves(stage)
    key = json.dumps(stage.target.keys.api_key)
    for what, text in (
        ("api_key before type", f'{{"api_key":{key},"type":"auth"}}'),
        ("white space between its tokens", f' {{\n\t"type" : "auth" ,\r\n"api_key" : {key} }} '),
        ("escaped letters", f'{{"\\u0074ype":"a\\u0075th","api\\u005fkey":{key}}}'),
    ):
        viewer = await stage.connect_viewer()
        await viewer.peer.send(text)
        if await viewer.await_init(stage.tolerances.immediate) is None:
            _not_accepted(stage, trial, viewer, f"an auth with {what}")
        await viewer.peer.close()


@case(
    "auth.not-first",
    "A message of another type, sent before the auth, closes with 4001.",
    "PW-AUTH-5",
)
async def auth_not_first(stage: Stage, trial: Trial) -> None:
    await _still_serves(stage)
    viewer = await stage.connect_viewer()
    await viewer.peer.send('{"type": "hello"}')
    await viewer.authenticate(stage.target.keys.api_key)
    stimulus = "a first message of the type “hello”"
    await trial.expect_close(viewer.peer, UNAUTHORIZED, "PW-AUTH-5", stimulus=stimulus)


@case(
    "auth.wrong-type",
    "A first message whose type is not exactly `auth` closes with 4001, a good key or not.",
    "PW-AUTH-5",
    "PW-AUTH-10",
    connections=3,
)
async def auth_wrong_type(stage: Stage, trial: Trial) -> None:
    await _still_serves(stage)
    key = stage.target.keys.api_key
    for wrong in ("Auth", "auth ", "device_auth", "", None, 1, ["auth"]):
        text = json.dumps({"type": wrong, "api_key": key})
        await _refused(stage, trial, text, "PW-AUTH-5", _of_type(wrong))
    stimulus = "a first message without a type"
    await _refused(stage, trial, json.dumps({"api_key": key}), "PW-AUTH-5", stimulus)


def _of_type(value: object) -> str:
    return f"a first message with a valid key whose type is {json.dumps(value)}"


@case(
    "auth.not-json",
    "A first message that is not a JSON object closes with 4001.",
    "PW-AUTH-6",
    "PW-AUTH-10",
    connections=3,
)
async def auth_not_json(stage: Stage, trial: Trial) -> None:
    await _still_serves(stage)
    key = stage.target.keys.api_key
    good = auth_text(key)
    await _refused(stage, trial, "", "PW-AUTH-6", "an empty first message")
    for text in ("auth", good[:-1], f"[{good}]", json.dumps(key), "null", "4001"):
        what = text.replace(key, "KEY")[:40]
        await _refused(stage, trial, text, "PW-AUTH-6", f"the first message “{what}”")


@case(
    "auth.key-malformed",
    "An auth without a key, or with a key that is no string, closes with 4001.",
    "PW-AUTH-6",
    "PW-AUTH-10",
    connections=3,
)
async def auth_key_malformed(stage: Stage, trial: Trial) -> None:
    await _still_serves(stage)
    key = stage.target.keys.api_key
    await _refused(stage, trial, '{"type": "auth"}', "PW-AUTH-6", "an auth without api_key")
    for wrong in (None, True, 0, [], [key], {"key": key}):
        text = json.dumps({"type": "auth", "api_key": wrong})
        what = json.dumps(wrong).replace(json.dumps(key), "KEY")
        await _refused(stage, trial, text, "PW-AUTH-6", f"an auth whose api_key is {what}")


@case(
    "auth.key-unknown",
    "A key that nobody has, however near to a good one, closes with 4001 at once.",
    "PW-AUTH-7",
    "PW-AUTH-10",
    connections=3,
)
async def auth_key_unknown(stage: Stage, trial: Trial) -> None:
    await _still_serves(stage)
    key = stage.target.keys.api_key
    last = "0" if key[-1] != "0" else "1"
    for wrong, stimulus in (
        ("plx_nobody_has_this_key", "an auth with an unknown key"),
        ("", "an auth with an empty key"),
        (key[:-1], "an auth with a valid key that lacks its last character"),
        (key + last, "an auth with a valid key that has one character more"),
        (key[:-1] + last, "an auth with a valid key whose last character differs"),
    ):
        await _refused(stage, trial, auth_text(wrong), "PW-AUTH-7", stimulus)


@case(
    "auth.key-revoked",
    "A revoked key closes with 4001 at once.",
    "PW-AUTH-8",
    "PW-AUTH-10",
    needs=(Need.REVOKED_KEY,),
)
async def auth_key_revoked(stage: Stage, trial: Trial) -> None:
    await _still_serves(stage)
    text = auth_text(stage.target.keys.revoked_key)
    await _refused(stage, trial, text, "PW-AUTH-8", "an auth with a revoked key")


@case(
    "auth.no-api-access",
    "A key whose plan has no API access closes with 4002.",
    "PW-AUTH-9",
    needs=(Need.NO_ACCESS_KEY,),
    connections=3,
)
async def auth_no_api_access(stage: Stage, trial: Trial) -> None:
    await _still_serves(stage)
    # Other refusals are due at once; for this one no source says how soon.
    within = stage.tolerances.answer
    viewer = await stage.connect_viewer(timeout=stage.timeout + 2 * math.ceil(within))
    await viewer.authenticate(stage.target.keys.no_access_key)
    stimulus = "an auth with a key whose plan has no API access"
    unknown = await stage.connect_viewer(name="viewer with an unknown key")
    await unknown.authenticate("plx_nobody_has_this_key")
    refused = await unknown.peer.until_ended(stage.tolerances.immediate)
    ending = await viewer.peer.until_ended(within)
    if ending.code == UNAUTHORIZED and (ending.code, ending.reason) == (
        refused.code,
        refused.reason,
    ):
        trial.untestable(
            "the gateway answers the key in PLEXWIRE_NO_ACCESS_KEY like an unknown key; "
            "check that it knows this key"
        )
    await trial.expect_close(
        viewer.peer, NO_API_ACCESS, "PW-AUTH-9", stimulus=stimulus, within=within
    )


@case(
    "auth.nothing-before",
    "A viewer that has not authenticated gets no message, though its camera sends.",
    "PW-AUTH-10",
    needs=(Need.PUBLISHER,),
    connections=3,
)
async def auth_nothing_before(stage: Stage, trial: Trial) -> None:
    device, watching = await stage.open_stream(stage.source())
    waiting = await stage.connect_viewer(stage.source(), name="viewer without auth")
    for _ in range(3):
        await stage.must_see(watching, device)
    entry = await waiting.peer.until(_is_message, stage.tolerances.silence)
    if entry is not None:
        trial.find("PW-AUTH-10/message-before-auth", observed={"message": entry.text})


@case("auth.extra-members", "An auth with members that nobody knows is accepted.", "PW-AUTH-11")
async def auth_extra_members(stage: Stage, trial: Trial) -> None:
    await _still_serves(stage)
    viewer = await stage.connect_viewer()
    text = auth_text(stage.target.keys.api_key, client="plexwire", nested={"a": [1, None]})
    await viewer.peer.send(text)
    if await viewer.await_init(stage.tolerances.immediate) is None:
        observed = {"ending": viewer.peer.outcome()}
        trial.find("PW-AUTH-11/unknown-member-refused", observed=observed)


@case("auth.binary", "What becomes of an auth in a binary message.", "PW-AUTH-12")
async def auth_binary(stage: Stage, trial: Trial) -> None:
    await _choice(
        stage, trial, auth_text(stage.target.keys.api_key).encode(), "PW-AUTH-12/binary-auth"
    )


@case("auth.doubled-member", "Which of two keys in one auth counts.", "PW-AUTH-14")
async def auth_doubled_member(stage: Stage, trial: Trial) -> None:
    key = json.dumps(stage.target.keys.api_key)
    text = f'{{"type": "auth", "api_key": "plx_nobody_has_this_key", "api_key": {key}}}'
    await _choice(stage, trial, text, "PW-AUTH-14/doubled-member")


async def _choice(stage: Stage, trial: Trial, payload: str | bytes, check: str) -> None:
    await _still_serves(stage)
    viewer = await stage.connect_viewer()
    await viewer.peer.send(payload)
    accepted = await viewer.await_init(stage.tolerances.immediate) is not None
    trial.chose(check, outcome="accepted" if accepted else f"refused ({viewer.peer.state})")


@case(
    "auth.speaking-afterwards",
    "What becomes of a viewer that goes on talking.",
    "PW-AUTH-13",
    connections=6,
    takes=1.5,
)
async def auth_speaking_afterwards(stage: Stage, trial: Trial) -> None:
    outcomes = {}
    for what, payload in (
        ("a second auth", auth_text(stage.target.keys.api_key)),
        ("a second auth with a bad key", auth_text("plx_nobody_has_this_key")),
        ("an unknown type", '{"type": "hello"}'),
        ("text that is not JSON", "hello"),
        ("a binary message", b"hello"),
    ):
        viewer = await stage.open_viewer()
        await viewer.peer.send(payload)
        await viewer.peer.ping(b"still there?")
        await viewer.peer.next(stage.tolerances.immediate)
        ending = await viewer.peer.until_ended(stage.tolerances.silence)
        ignored = ending.kind is ClosingKind.OPEN
        outcomes[what] = "ignored" if ignored else str(ending)
        await viewer.peer.close()
    trial.chose("PW-AUTH-13/messages-after-auth", outcomes=outcomes)
