"""When a viewer's auth counts: in time, late, never."""

import trio

from plexwire_conformance.recording.recorder import pong_with
from plexwire_conformance.run.case import case
from plexwire_conformance.run.tolerances import AUTH_DEADLINE
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.wire.framing import Opcode, encode_frame
from plexwire_conformance.wire.peer import Peer
from plexwire_conformance.wire.roles import auth_text

_UNAUTHORIZED = 4001


async def _judge_deadline(trial: Trial, peer: Peer, *, also_early: bool = True) -> None:
    """Judge that *peer*, which never authenticates, is closed with 4001 when the deadline has passed."""
    patience = trial.patience
    latest = peer.upgraded_at + patience.auth_deadline + patience.late
    why = f"no auth within {patience.auth_deadline:g} s"
    ending = await trial.expect_close(
        peer, _UNAUTHORIZED, "PW-AUTH-3", why=why, within=latest - trial.now()
    )
    # The gateway can't have begun to count before we began to connect.
    early = peer.opened_at + patience.auth_deadline - patience.early - ending.at
    if also_early and peer.ending is not None and early > 0:
        expected = f"open until {patience.auth_deadline:g} s after connecting"
        actual = f"{ending} after {ending.at - peer.opened_at:.2f} s"
        trial.find("PW-AUTH-4", expected, actual, margin_s=early + patience.early)


@case("auth.late", "PW-AUTH-2", "PW-AUTH-4", takes=9.0)
async def auth_late(trial: Trial) -> None:
    """A viewer that authenticates nine seconds after connecting is accepted."""
    await (await trial.open_viewer(trial.online)).peer.close()
    viewer = await trial.connect_viewer(trial.online)
    late = AUTH_DEADLINE - 1.0 - 2 * trial.patience.round_trip
    ending = await viewer.peer.until_ended(viewer.peer.opened_at + late - trial.now(), exactly=True)
    if viewer.peer.ending is not None:
        actual = f"{ending} after {ending.at - viewer.peer.opened_at:.2f} s"
        trial.find("PW-AUTH-4", "open for 10 s", actual)
        return
    await viewer.authenticate(trial.target.keys.api_key)
    if await viewer.await_init(trial.patience.at_once) is None:
        trial.find("PW-AUTH-2", f"init for an auth after {late:.1f} s", trial.fate(viewer.peer))


@case("auth.never", "PW-AUTH-3", "PW-AUTH-4", "PW-CLOSE-1", takes=10.0)
async def auth_never(trial: Trial) -> None:
    """A viewer that says nothing is closed with 4001 after ten seconds, not before and not much later."""
    viewer = await trial.connect_viewer(trial.online)
    await _judge_deadline(trial, viewer.peer)


@case("auth.never-but-pings", "PW-AUTH-3", "PW-CONN-1", takes=10.0)
async def auth_never_but_pings(trial: Trial) -> None:
    """Pings are answered before the auth, and do not put off its deadline."""
    viewer = await trial.connect_viewer(trial.online)
    for number in range(3):
        payload = f"ping {number}".encode()
        await viewer.peer.ping(payload)
        pong = await viewer.peer.until(pong_with(payload), trial.patience.at_once)
        if pong is None and viewer.peer.ending is None:
            trial.find("PW-CONN-1", f"a pong with {payload!r} before the auth", "none")
        await trio.sleep(max(0.0, viewer.peer.opened_at + 3 * (number + 1) - trial.now()))
    await _judge_deadline(trial, viewer.peer)


@case("auth.unfinished", "PW-AUTH-3", takes=10.0)
async def auth_unfinished(trial: Trial) -> None:
    """An auth that trickles in and is never finished does not put off the deadline."""
    viewer = await trial.connect_viewer(trial.online)
    text = auth_text(trial.target.keys.api_key).encode()
    for number in range(8):
        # In WebSocket frames of their own, as a pong may have to go out between two bytes.
        opcode = Opcode.CONTINUATION if number else Opcode.TEXT
        part = encode_frame(opcode, text[number : number + 1], fin=False)
        await viewer.peer.send_raw(part, f"byte {number} of an auth")
        await trio.sleep(max(0.0, viewer.peer.opened_at + number + 1 - trial.now()))
        if viewer.peer.ending is not None:
            break
    await _judge_deadline(trial, viewer.peer, also_early=False)
