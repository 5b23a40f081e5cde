"""When a viewer's auth counts: in time, late, never."""

import trio

from plexwire_conformance.recording.recorder import pong_with
from plexwire_conformance.run.case import case
from plexwire_conformance.run.stage import Stage
from plexwire_conformance.run.tolerances import AUTH_DEADLINE
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.wire.close_codes import UNAUTHORIZED
from plexwire_conformance.wire.framing import Opcode, encode_frame
from plexwire_conformance.wire.peer import RawPeer
from plexwire_conformance.wire.roles import auth_text


async def judge_deadline(
    stage: Stage, trial: Trial, peer: RawPeer, *, also_early: bool = True
) -> None:
    """Judge that *peer*, which never authenticates, is closed with 4001 when the deadline has passed."""
    tolerances = stage.tolerances
    latest = peer.upgraded_at + tolerances.auth_deadline + tolerances.late
    stimulus = f"{tolerances.auth_deadline:g} s without an auth"
    ending = await trial.expect_close(
        peer, UNAUTHORIZED, "PW-AUTH-3", stimulus=stimulus, within=latest - stage.now()
    )
    # The gateway can't have begun to count before we began to connect.
    early = peer.opened_at + tolerances.auth_deadline - tolerances.early - ending.at
    if also_early and peer.ending is not None and early > 0:
        trial.find(
            "PW-AUTH-4/closed-early",
            {"seconds": tolerances.auth_deadline},
            {"ending": peer.outcome()},
            margin_s=early + tolerances.early,
        )


@case(
    "auth.late",
    "A viewer that authenticates nine seconds after connecting is accepted.",
    "PW-AUTH-2",
    "PW-AUTH-4",
    takes=9.0,
)
async def auth_late(stage: Stage, trial: Trial) -> None:
    await (await stage.open_viewer()).peer.close()
    viewer = await stage.connect_viewer()
    late = AUTH_DEADLINE - 1.0 - 2 * stage.tolerances.round_trip
    await viewer.peer.until_ended(viewer.peer.opened_at + late - stage.now(), exactly=True)
    if viewer.peer.ending is not None:
        trial.find_and_stop(
            "PW-AUTH-4/closed-early",
            {"seconds": AUTH_DEADLINE},
            {"ending": viewer.peer.outcome()},
        )
    if await stage.authenticate(viewer) is None:
        trial.find(
            "PW-AUTH-2/valid-auth-refused",
            {
                "stimulus": f"an auth {late:.1f} s after connecting",
                "within": stage.tolerances.immediate,
            },
            {"ending": viewer.peer.outcome()},
        )


@case(
    "auth.never",
    "A viewer that says nothing is closed with 4001 after ten seconds, not before and not much later.",
    "PW-AUTH-3",
    "PW-AUTH-4",
    "PW-CLOSE-1",
    takes=10.0,
    connections=1,
)
async def auth_never(stage: Stage, trial: Trial) -> None:
    viewer = await stage.connect_viewer()
    await judge_deadline(stage, trial, viewer.peer)


@case(
    "auth.never-but-pings",
    "Pings are answered before the auth, and do not put off its deadline.",
    "PW-AUTH-3",
    "PW-AUTH-4",
    "PW-CONN-1",
    takes=10.0,
    connections=1,
)
async def auth_never_but_pings(stage: Stage, trial: Trial) -> None:
    viewer = await stage.connect_viewer()
    for number in range(3):
        payload = f"ping {number}".encode()
        await viewer.peer.ping(payload)
        pong = await viewer.peer.until(pong_with(payload), stage.tolerances.immediate)
        if pong is None and viewer.peer.ending is None:
            trial.find(
                "PW-CONN-1/no-pong",
                {
                    "payload": payload.decode(),
                    "role": "viewer before its auth",
                    "within": stage.tolerances.immediate,
                },
                {"ending": viewer.peer.outcome()},
            )
        await trio.sleep(max(0.0, viewer.peer.opened_at + 3 * (number + 1) - stage.now()))
    await judge_deadline(stage, trial, viewer.peer)


@case(
    "auth.unfinished",
    "An auth that trickles in and is never finished does not put off the deadline.",
    "PW-AUTH-3",
    takes=10.0,
    connections=1,
)
async def auth_unfinished(stage: Stage, trial: Trial) -> None:
    viewer = await stage.connect_viewer()
    text = auth_text(stage.target.keys.api_key).encode()
    for number in range(8):
        # In WebSocket frames of their own, as a pong may have to go out between two bytes.
        opcode = Opcode.CONTINUATION if number else Opcode.TEXT
        part = encode_frame(opcode, text[number : number + 1], fin=False)
        await viewer.peer.send_raw(part, f"byte {number} of an auth")
        await trio.sleep(max(0.0, viewer.peer.opened_at + number + 1 - stage.now()))
        if viewer.peer.ending is not None:
            break
    await judge_deadline(stage, trial, viewer.peer, also_early=False)
