"""The timeout of an address."""

import trio

from plexwire_conformance.run.case import Need, case
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.wire.peer import Closing, HandshakeFailed
from plexwire_conformance.wire.roles import Device

_TIMEOUT = 4008
_SECONDS = 2


async def _keep_sending(device: Device) -> None:
    while True:
        await device.publish("front")
        await trio.sleep(0.05)


async def _judge_timeout(trial: Trial, seconds: int, *, device: bool = False) -> None:
    source = trial.source() if device else trial.online
    publisher = await trial.open_source(source) if device else None
    viewer = await trial.connect_viewer(source, timeout=seconds)
    asked_at = await viewer.authenticate(trial.target.keys.api_key)
    init = await viewer.await_init(trial.patience.at_once)
    if init is None:
        trial.inconclusive(f"the viewer got no init ({trial.fate(viewer.peer)})")
    async with trio.open_nursery() as nursery:
        if publisher is not None:
            nursery.start_soon(_keep_sending, publisher)
        # A gateway may count from the handshake, the auth or its init: early is judged from the first of them, late
        # from the last.
        latest = init.at + seconds + trial.patience.late
        ending = await trial.expect_close(
            viewer.peer,
            _TIMEOUT,
            "PW-TIME-1",
            why=f"timeout={seconds} has passed",
            within=latest - trial.now(),
        )
        nursery.cancel_scope.cancel()
    early = viewer.peer.opened_at + seconds - trial.patience.early - ending.at
    if ending.how is not Closing.OPEN and early > 0:
        actual = f"{ending} {ending.at - asked_at:.2f} s after the auth"
        expected = f"open for {seconds} s"
        trial.find("PW-TIME-2", expected, actual, margin_s=early + trial.patience.early)


@case("time.closes", "PW-TIME-1", "PW-TIME-2", "PW-CLOSE-1", takes=2.0)
async def time_closes(trial: Trial) -> None:
    """timeout=2 closes a silent stream with 4008 after two seconds, not before and not much later."""
    await _judge_timeout(trial, _SECONDS)


@case(
    "time.closes-a-busy-stream",
    "PW-TIME-1",
    "PW-TIME-2",
    needs=(Need.PUBLISHER,),
    takes=3.0,
)
async def time_closes_a_busy_stream(trial: Trial) -> None:
    """timeout=3 closes a stream with 4008 while frames come without a pause."""
    await _judge_timeout(trial, 3, device=True)


@case("time.reconnect", "PW-TIME-3", needs=(Need.PUBLISHER,), takes=2.0, connections=3)
async def time_reconnect(trial: Trial) -> None:
    """A viewer that was closed with 4008 connects again at once and goes on."""
    source = trial.source()
    device = await trial.open_source(source)
    # Long enough for a frame to come through before.
    seconds = 2 + round(4 * trial.patience.round_trip)
    viewer = await trial.open_viewer(source, timeout=seconds)
    await trial.must_see(viewer, device)
    ending = await viewer.peer.until_ended(seconds + trial.patience.late)
    if ending.code != _TIMEOUT:
        trial.inconclusive(f"timeout={seconds} ended with {ending}")
    expected = "init and frames on a new connection"
    try:
        again = await trial.connect_viewer(source, timeout=600, name="viewer again")
    except HandshakeFailed as error:
        trial.find("PW-TIME-3", expected, error.problem)
        return
    await again.authenticate(trial.target.keys.api_key)
    await again.await_init(trial.patience.at_once)
    if again.init is None or await trial.see(again, device) is None:
        actual = f"no frames ({trial.fate(again.peer)})"
        trial.find("PW-TIME-3", expected, actual)


@case("time.counts-from", "PW-TIME-4", takes=5.0)
async def time_counts_from(trial: Trial) -> None:
    """From when the timeout counts."""
    viewer = await trial.connect_viewer(trial.online, timeout=3)
    await trio.sleep(1.5)
    asked_at = await viewer.authenticate(trial.target.keys.api_key)
    ending = await viewer.peer.until_ended(3 + trial.patience.late)
    if ending.code != _TIMEOUT:
        trial.chose("PW-TIME-4", f"unclear: {ending}")
        return
    from_auth = abs(ending.at - asked_at - 3) < abs(ending.at - viewer.peer.upgraded_at - 3)
    trial.chose("PW-TIME-4", "from the auth or init" if from_auth else "from connecting")


@case("time.odd-values", "PW-TIME-5", takes=1.0, connections=2)
async def time_odd_values(trial: Trial) -> None:
    """What becomes of a timeout that is no whole number of seconds above zero."""
    await trial.open_viewer(trial.online)
    said = []
    for value in ("0", "-1", "1.5", "abc", "", "99999999999999999999"):
        try:
            viewer = await trial.connect_viewer(trial.online, timeout=value)
        except HandshakeFailed as error:
            status = error.problem if error.answer is None else f"HTTP {error.answer.status}"
            said.append(f"{value or 'empty'}: refused, {status}")
            continue
        await viewer.authenticate(trial.target.keys.api_key)
        await viewer.await_init(trial.patience.at_once)
        ending = await viewer.peer.until_ended(trial.patience.silence)
        said.append(f"{value or 'empty'}: {ending}")
        await viewer.peer.close()
    trial.chose("PW-TIME-5", "; ".join(said))


@case("time.without", "PW-TIME-6", takes=8.0)
async def time_without(trial: Trial) -> None:
    """Whether a stream without timeout ends by itself within eight seconds."""
    viewer = await trial.open_viewer(trial.online, timeout=None)
    ending = await viewer.peer.until_ended(8.0)
    trial.chose("PW-TIME-6", f"without timeout, after 8 s: {ending}")
