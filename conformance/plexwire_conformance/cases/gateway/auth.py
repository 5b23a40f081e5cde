"""What a gateway does with a viewer's first message."""

import json

from plexwire_conformance.recording.recorder import Kind, Way
from plexwire_conformance.run.case import Need, case
from plexwire_conformance.run.stage import Inconclusive, Stage
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.wire.peer import ClosingKind
from plexwire_conformance.wire.roles import auth_text, pipelined_auth

UNAUTHORIZED = 4001
NO_API_ACCESS = 4002

_MESSAGES = (Kind.TEXT, Kind.BINARY)


async def _refused(stage: Stage, trial: Trial, payload: str | bytes, clause: str, why: str) -> None:
    """Send *payload* as the first message and judge that it is refused at once."""
    viewer = await stage.connect_viewer()
    await viewer.peer.send(payload)
    ending = await trial.expect_close(viewer.peer, UNAUTHORIZED, clause, why=why)
    told = [
        entry
        for entry in viewer.peer.entries
        if entry.way is Way.RECEIVED and entry.kind in _MESSAGES
    ]
    if ending.code == UNAUTHORIZED and told:
        trial.find("PW-AUTH-10", f"nothing but a close: {why}", f"before it {told[0].text[:60]}")
    await viewer.peer.close()


async def _still_serves(stage: Stage) -> None:
    """See that the accepted twin of the refused conversation is accepted."""
    await stage.open_viewer()


@case("auth.in-time", "PW-AUTH-2", "PW-ADDR-1", "PW-ADDR-5")
async def auth_in_time(stage: Stage, trial: Trial) -> None:
    """A viewer that authenticates at once is accepted."""
    viewer = await stage.connect_viewer()
    accepted = await stage.authenticate(viewer) is not None
    if viewer.peer.ending is not None:
        trial.find("PW-AUTH-2", "a valid auth is accepted", viewer.peer.state)
    elif not accepted:
        raise Inconclusive("no init came, and no close either; see init.at-once")


@case("auth.pipelined", "PW-AUTH-2")
async def auth_pipelined(stage: Stage, trial: Trial) -> None:
    """An auth that arrives in one segment with the handshake is read."""
    await _still_serves(stage)
    viewer = await stage.connect_viewer(pipelined=pipelined_auth(stage.target.keys.api_key))
    if await viewer.await_init(stage.tolerances.immediate) is None:
        actual = f"no init ({viewer.peer.state})"
        trial.find("PW-AUTH-2", "init for an auth sent right behind the handshake", actual)


@case("auth.json-spelling", "PW-AUTH-2", connections=3)
async def auth_json_spelling(stage: Stage, trial: Trial) -> None:
    """An auth is read as JSON: order, white space and escapes make no difference."""
    await _still_serves(stage)
    key = json.dumps(stage.target.keys.api_key)
    for what, text in (
        ("the key first", f'{{"api_key":{key},"type":"auth"}}'),
        ("white space", f' {{\n\t"type" : "auth" ,\r\n"api_key" : {key} }} '),
        ("escapes", f'{{"\\u0074ype":"a\\u0075th","api\\u005fkey":{key}}}'),
    ):
        viewer = await stage.connect_viewer()
        await viewer.peer.send(text)
        if await viewer.await_init(stage.tolerances.immediate) is None:
            trial.find("PW-AUTH-2", f"init for an auth with {what}", viewer.peer.state)
        await viewer.peer.close()


@case("auth.not-first", "PW-AUTH-5")
async def auth_not_first(stage: Stage, trial: Trial) -> None:
    """A message of another type, sent before the auth, closes with 4001."""
    await _still_serves(stage)
    viewer = await stage.connect_viewer()
    await viewer.peer.send('{"type": "hello"}')
    await viewer.authenticate(stage.target.keys.api_key)
    why = "the first frame was not auth"
    await trial.expect_close(viewer.peer, UNAUTHORIZED, "PW-AUTH-5", why=why)


@case("auth.wrong-type", "PW-AUTH-5", connections=3)
async def auth_wrong_type(stage: Stage, trial: Trial) -> None:
    """A first message whose type is not exactly `auth` closes with 4001, a good key or not."""
    await _still_serves(stage)
    key = stage.target.keys.api_key
    for wrong in ("Auth", "auth ", "device_auth", "", None, 1, ["auth"]):
        text = json.dumps({"type": wrong, "api_key": key})
        await _refused(stage, trial, text, "PW-AUTH-5", f"its type was {wrong!r}")
    await _refused(stage, trial, json.dumps({"api_key": key}), "PW-AUTH-5", "it had no type")


@case("auth.not-json", "PW-AUTH-6", connections=3)
async def auth_not_json(stage: Stage, trial: Trial) -> None:
    """A first message that is not a JSON object closes with 4001."""
    await _still_serves(stage)
    key = stage.target.keys.api_key
    good = auth_text(key)
    for text in ("", "auth", good[:-1], f"{good},", f"[{good}]", json.dumps(key), "null", "4001"):
        what = text.replace(key, "KEY")[:40]
        await _refused(stage, trial, text, "PW-AUTH-6", f"it was {what!r}")


@case("auth.key-malformed", "PW-AUTH-6", connections=3)
async def auth_key_malformed(stage: Stage, trial: Trial) -> None:
    """An auth without a key, or with a key that is no string, closes with 4001."""
    await _still_serves(stage)
    key = stage.target.keys.api_key
    await _refused(stage, trial, '{"type": "auth"}', "PW-AUTH-6", "the key was missing")
    for wrong in (None, True, 0, [], [key], {"key": key}):
        text = json.dumps({"type": "auth", "api_key": wrong})
        what = type(wrong).__name__
        await _refused(stage, trial, text, "PW-AUTH-6", f"the key was no string but {what}")


@case("auth.key-unknown", "PW-AUTH-7", connections=3)
async def auth_key_unknown(stage: Stage, trial: Trial) -> None:
    """A key that nobody has, however near to a good one, closes with 4001 at once."""
    await _still_serves(stage)
    key = stage.target.keys.api_key
    last = "0" if key[-1] != "0" else "1"
    for wrong, why in (
        ("plx_nobody_has_this_key", "nobody has the key"),
        ("", "the key was empty"),
        (key[:-1], "the key lacked its last character"),
        (key + last, "the key had one character more"),
        (key[:-1] + last, "the key had another last character"),
    ):
        await _refused(stage, trial, auth_text(wrong), "PW-AUTH-7", why)


@case("auth.key-revoked", "PW-AUTH-8", needs=(Need.REVOKED_KEY,))
async def auth_key_revoked(stage: Stage, trial: Trial) -> None:
    """A revoked key closes with 4001 at once."""
    await _still_serves(stage)
    text = auth_text(stage.target.keys.revoked_key)
    await _refused(stage, trial, text, "PW-AUTH-8", "the key is revoked")


@case("auth.no-api-access", "PW-AUTH-9", needs=(Need.NO_ACCESS_KEY,))
async def auth_no_api_access(stage: Stage, trial: Trial) -> None:
    """A key whose plan has no API access closes with 4002."""
    await _still_serves(stage)
    viewer = await stage.connect_viewer()
    await viewer.authenticate(stage.target.keys.no_access_key)
    why = "the plan has no API access"
    # Other refusals are due at once; for this one no source says how soon.
    within = stage.tolerances.answer
    await trial.expect_close(viewer.peer, NO_API_ACCESS, "PW-AUTH-9", why=why, within=within)


@case("auth.nothing-before", "PW-AUTH-10", needs=(Need.PUBLISHER,), connections=3)
async def auth_nothing_before(stage: Stage, trial: Trial) -> None:
    """A viewer that has not authenticated gets no message, though its camera sends."""
    device, watching = await stage.open_stream(stage.source())
    waiting = await stage.connect_viewer(stage.source(), name="viewer without auth")
    for _ in range(3):
        await stage.must_see(watching, device)
    entry = await waiting.peer.next(stage.tolerances.silence)
    if entry is not None:
        actual = f"a {entry.kind}: {entry.text[:60]}"
        trial.find("PW-AUTH-10", "nothing before the auth", actual)


@case("auth.extra-members", "PW-AUTH-11")
async def auth_extra_members(stage: Stage, trial: Trial) -> None:
    """An auth with members that nobody knows is accepted."""
    await _still_serves(stage)
    viewer = await stage.connect_viewer()
    text = auth_text(stage.target.keys.api_key, client="plexwire", nested={"a": [1, None]})
    await viewer.peer.send(text)
    if await viewer.await_init(stage.tolerances.immediate) is None:
        trial.find("PW-AUTH-11", "unknown members are ignored", viewer.peer.state)


@case("auth.binary", "PW-AUTH-12")
async def auth_binary(stage: Stage, trial: Trial) -> None:
    """What becomes of an auth in a binary message."""
    await _choice(stage, trial, auth_text(stage.target.keys.api_key).encode(), "PW-AUTH-12")


@case("auth.doubled-member", "PW-AUTH-14")
async def auth_doubled_member(stage: Stage, trial: Trial) -> None:
    """Which of two keys in one auth counts."""
    key = json.dumps(stage.target.keys.api_key)
    text = f'{{"type": "auth", "api_key": "plx_nobody_has_this_key", "api_key": {key}}}'
    await _choice(stage, trial, text, "PW-AUTH-14")


async def _choice(stage: Stage, trial: Trial, payload: str | bytes, clause: str) -> None:
    await _still_serves(stage)
    viewer = await stage.connect_viewer()
    await viewer.peer.send(payload)
    accepted = await viewer.await_init(stage.tolerances.immediate) is not None
    trial.chose(clause, "accepted" if accepted else f"refused: {viewer.peer.state}")


@case("auth.speaking-afterwards", "PW-AUTH-13", connections=6)
async def auth_speaking_afterwards(stage: Stage, trial: Trial) -> None:
    """What becomes of a viewer that goes on talking."""
    choices = []
    for what, payload in (
        ("a second auth", auth_text(stage.target.keys.api_key)),
        ("a second auth with a bad key", auth_text("plx_nobody_has_this_key")),
        ("an unknown type", '{"type": "hello"}'),
        ("no JSON", "hello"),
        ("a binary message", b"hello"),
    ):
        viewer = await stage.open_viewer()
        await viewer.peer.send(payload)
        await viewer.peer.ping(b"still there?")
        await viewer.peer.next(stage.tolerances.immediate)
        ending = await viewer.peer.until_ended(stage.tolerances.silence)
        ignored = ending.kind is ClosingKind.OPEN
        choices.append(f"{what}: {'ignored' if ignored else ending}")
    trial.chose("PW-AUTH-13", "; ".join(choices))
