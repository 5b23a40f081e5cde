"""The timeout of an address."""

import trio

from plexwire_conformance.run.case import Need, case
from plexwire_conformance.run.stage import VIEWER_OPENS, Stage
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.wire.close_codes import TIMEOUT
from plexwire_conformance.wire.peer import ClosingKind, HandshakeFailed
from plexwire_conformance.wire.roles import RawDevice

_SECONDS = 2


async def _keep_sending(device: RawDevice) -> None:
    while True:
        await device.publish("front")
        await trio.sleep(0.05)


async def _quiet_source(stage: Stage) -> str | None:
    """Return a source on which nothing moves: an own one if there can be any, so that no other case feels its closes.

    None stands for the online camera.
    """
    if not stage.target.publishing or stage.target.live is not None:
        return None
    return (await stage.open_source(stage.source())).source_id


async def _judge_timeout(
    stage: Stage, trial: Trial, seconds: int, publisher: RawDevice | None = None
) -> None:
    """Judge the timeout of a viewer of *publisher*, which sends all the time, or of a source that sends nothing."""
    source_id = await _quiet_source(stage) if publisher is None else publisher.source_id
    viewer = await stage.connect_viewer(source_id, timeout=seconds)
    init = await stage.authenticate(viewer)
    timed_out = viewer.peer.ending is not None and viewer.peer.ending.code == TIMEOUT
    if init is None and not timed_out:
        trial.inconclusive(f"the viewer got no init ({viewer.peer.state})", *VIEWER_OPENS)
    began = stage.now() if init is None else init.at
    async with trio.open_nursery() as nursery:
        if publisher is not None:
            nursery.start_soon(_keep_sending, publisher)
        # A gateway may count from the handshake, the auth or its init: early is judged from the first of them, late
        # from the last.
        latest = began + seconds + stage.tolerances.late
        ending = await trial.expect_close(
            viewer.peer,
            TIMEOUT,
            "PW-TIME-1",
            stimulus=f"{seconds} s of a stream that asked for timeout={seconds}",
            within=latest - stage.now(),
        )
        nursery.cancel_scope.cancel()
    early = viewer.peer.opened_at + seconds - stage.tolerances.early - ending.at
    if ending.kind is not ClosingKind.OPEN and early > 0:
        trial.find(
            "PW-TIME-2/closed-early",
            {"seconds": seconds},
            {"ending": viewer.peer.outcome()},
            margin_s=early + stage.tolerances.early,
        )


@case(
    "time.closes",
    "timeout=2 closes a silent stream with 4008 after two seconds, not before and not much later.",
    "PW-TIME-1",
    "PW-TIME-2",
    "PW-CLOSE-1",
    takes=2.0,
)
async def time_closes(stage: Stage, trial: Trial) -> None:
    await _judge_timeout(stage, trial, _SECONDS)


@case(
    "time.one-second",
    "timeout=1, the shortest there is, closes a stream with 4008 after one second.",
    "PW-TIME-1",
    "PW-TIME-2",
    takes=1.0,
)
async def time_one_second(stage: Stage, trial: Trial) -> None:
    await _judge_timeout(stage, trial, 1)


@case(
    "time.closes-a-busy-stream",
    "timeout=3 closes a stream with 4008 while frames come without a pause.",
    "PW-TIME-1",
    "PW-TIME-2",
    needs=(Need.PUBLISHER,),
    takes=3.0,
)
async def time_closes_a_busy_stream(stage: Stage, trial: Trial) -> None:
    await _judge_timeout(stage, trial, 3, await stage.open_source(stage.source()))


@case(
    "time.reconnect",
    "A viewer that was closed with 4008 connects again at once and goes on.",
    "PW-TIME-3",
    needs=(Need.PUBLISHER,),
    takes=2.0,
    connections=3,
)
async def time_reconnect(stage: Stage, trial: Trial) -> None:
    source = stage.source()
    device = await stage.open_source(source)
    # Long enough for a frame to come through before.
    seconds = 2 + round(4 * stage.tolerances.round_trip)
    viewer = await stage.open_viewer(source, timeout=seconds)
    await stage.must_see(viewer, device)
    viewer.peer.end_is_due = True
    ending = await viewer.peer.until_ended(seconds + stage.tolerances.late)
    if ending.code != TIMEOUT:
        trial.inconclusive(f"timeout={seconds} ended with {ending}", "PW-TIME-1")
    try:
        again = await stage.connect_viewer(source, name="viewer again")
    except HandshakeFailed as error:
        # The stream of another case may have ended at its timeout on the online camera just now.
        other = await stage.open_source(stage.source("other"), name="device of another source")
        probed = other.source_id
        await trial.refuse("PW-TIME-3/handshake-refused", {}, error, probed=probed)
    await stage.authenticate(again)
    if again.init is None or await stage.see(again, device) is None:
        what = "no init" if again.init is None else "no frame"
        observed = {"what": what, "ending": again.peer.outcome()}
        trial.find("PW-TIME-3/no-frames", observed=observed)


@case("time.counts-from", "From when the timeout counts.", "PW-TIME-4", takes=5.0)
async def time_counts_from(stage: Stage, trial: Trial) -> None:
    viewer = await stage.connect_viewer(await _quiet_source(stage), timeout=3)
    await trio.sleep(1.5)
    asked_at = await viewer.authenticate(stage.target.keys.api_key)
    viewer.peer.end_is_due = True
    ending = await viewer.peer.until_ended(3 + stage.tolerances.late)
    if ending.code != TIMEOUT:
        trial.inconclusive(f"timeout=3 ended with {ending}", "PW-TIME-1")
    from_auth = abs(ending.at - asked_at - 3) < abs(ending.at - viewer.peer.upgraded_at - 3)
    outcome = "the auth or init" if from_auth else "connecting"
    trial.chose("PW-TIME-4/counts-from", outcome=outcome)


@case(
    "time.odd-values",
    "What becomes of a timeout that is no whole number of seconds above zero.",
    "PW-TIME-5",
    takes=1.0,
    connections=3,
)
async def time_odd_values(stage: Stage, trial: Trial) -> None:
    source_id = await _quiet_source(stage)
    await stage.open_viewer(source_id)
    outcomes = {}
    for value in ("0", "-1", "1.5", "abc", "", "99999999999999999999"):
        try:
            viewer = await stage.connect_viewer(source_id, timeout=value)
        except HandshakeFailed as error:
            outcomes[value or "empty"] = f"refused with {error.in_short}"
            continue
        await stage.authenticate(viewer)
        ending = await viewer.peer.until_ended(stage.tolerances.silence)
        outcomes[value or "empty"] = str(ending)
        await viewer.peer.close()
    trial.chose("PW-TIME-5/odd-values", outcomes=outcomes)


@case(
    "time.without",
    "Whether a stream without timeout ends by itself within eight seconds.",
    "PW-TIME-6",
    takes=8.0,
    connections=1,
)
async def time_without(stage: Stage, trial: Trial) -> None:
    viewer = await stage.open_viewer(timeout=None)
    ending = await viewer.peer.until_ended(8.0)
    outcome = "is still open" if viewer.peer.ending is None else f"has ended ({ending})"
    trial.chose("PW-TIME-6/without-timeout", seconds=8.0, outcome=outcome)
