"""A camera that runs anyway, watched with a key that may not publish: in virtual time, by a real device client."""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from hashlib import sha256
from itertools import count
from typing import Final, TypeAlias

import pytest
import trio
import trio.testing
from attrs import evolve, frozen

from plexwire_client import DeviceClient, open_device
from plexwire_conformance.cases import CASES, Case, Need
from plexwire_conformance.faults import FAULTS, FaultyGateway
from plexwire_conformance.run.control import CouldNotJudge
from plexwire_conformance.run.events import CaseFinished, RunEvent
from plexwire_conformance.run.findings import CaseResult, Verdict
from plexwire_conformance.run.runner import Runner, Settings
from plexwire_conformance.target.reference_gateway import keys_of, memory_gateway
from plexwire_conformance.target.target import Camera, Keys
from plexwire_conformance.wire.pictures import picture
from plexwire_protocol import AddressRefused, Refusal, StreamAddress
from plexwire_server import Gateway, KeyGranted, KeyRecord, KeyStore, Scope, ThrowAwayKeys
from plexwire_server.extending import DeviceConnection, ViewerConnection

Sends: TypeAlias = Callable[[DeviceClient], Awaitable[None]]

#: A thread can't think while virtual time stands still for it.
PLAIN: Final = [case for case in CASES.values() if not case.scripted]
LIVE: Final = [case for case in PLAIN if case.area == "live"]
CAMERA: Final = Camera("robot-01", "gate")
SETTINGS: Final = Settings(nonce="live", unix_ms=1_750_000_000_000)

JUDGE, PUBLISHER, FOREIGN = "plx_judge_may_read", "plx_camera_may_write", "plx_somebody_else"
STORE: Final = KeyStore(
    KeyRecord(
        name=name,
        organisation=whose,
        digest=sha256(key.encode()).digest(),
        scopes=frozenset({scope}),
    )
    for name, whose, key, scope in (
        ("judge", "home", JUDGE, Scope.READ),
        ("camera", "home", PUBLISHER, Scope.WRITE),
        ("foreign", "other", FOREIGN, Scope.READ),
    )
)
#: What the judge is given: nothing that may publish.
MAY_WATCH: Final = Keys(api_key=JUDGE, foreign_key=FOREIGN)
UNUSED: Final = ThrowAwayKeys(*("plx_unused",) * 7)


# ── cameras ──────────────────────────────────────────────────────────────────────────────────


def camera(
    *names: str,
    shows: Callable[[int], object] = lambda number: number,
    stamp: Callable[[int], int] = lambda number: number,
    every: float = 0.2,
) -> Sends:
    """Return what sends frame after frame of each name: what each *shows* and its *stamp*, by its number."""

    async def send(device: DeviceClient) -> None:
        for number in count(1):
            for name in names or (CAMERA.camera_id,):
                jpeg = picture(f"{name} {shows(number)}")
                await device.send_video_frame(jpeg, name, timestamp=stamp(number))
            await trio.sleep(every)

    return send


async def falls_silent(device: DeviceClient) -> None:
    await device.send_video_frame(picture("the only one"), CAMERA.camera_id)


STEADY: Final = camera()
#: What a fault may mix up is there.
TWO_CAMERAS: Final = camera(CAMERA.camera_id, "rear")
#: Cameras that tell little, and the cases that can't be judged by them.
ODD: Final[dict[str, tuple[Sends, set[str]]]] = {
    "sends whole frames again": (
        camera(shows=lambda number: number // 3, stamp=lambda number: number // 3),
        {"live.same-for-all", "live.no-replay"},
    ),
    "shows a wall": (camera(shows=lambda number: "a wall"), set()),
    "has no clock": (camera(stamp=lambda number: 0), set()),
    "is slow": (camera(every=2.2), set()),
    "is very slow": (camera(every=4.6), {"live.same-for-all"}),
}


# ── running ──────────────────────────────────────────────────────────────────────────────────


@frozen
class Ran:
    """A run that is over."""

    results: dict[str, CaseResult]
    events: list[CaseFinished]
    seconds: float

    def at(self, verdict: Verdict) -> dict[str, str]:
        """Return why each case came out so."""
        return {r.case: r.reason for r in self.results.values() if r.verdict is verdict}

    @property
    def accusations(self) -> list[tuple[str, str, str]]:
        return [
            (result.case, finding.check, str(finding.observed))
            for result in self.results.values()
            for finding in result.findings
            if finding.verdict in (Verdict.FAIL, Verdict.WARN)
        ] + [(case, "error", reason) for case, reason in self.at(Verdict.ERROR).items()]


def ran(
    cases: Iterable[Case],
    sends: Sends | None,
    *,
    gateway: Gateway | None = None,
    publisher: str = PUBLISHER,
    keys: Keys = MAY_WATCH,
    live: Camera | None = CAMERA,
) -> Ran:
    """Judge *gateway* by *cases*, while a camera *sends*; without one, there is none."""
    events: list[CaseFinished] = []
    serves = Gateway(STORE) if gateway is None else gateway

    def listen(event: RunEvent) -> None:
        if isinstance(event, CaseFinished):
            events.append(event)

    async def main() -> Ran:
        async with memory_gateway(serves, UNUSED) as target, trio.open_nursery() as nursery:
            if sends is not None:
                device = await nursery.start(_device, target.devices.dial, publisher)
                nursery.start_soon(sends, device)
                # It has run for a while when the judge comes.
                await trio.sleep(1)
            judged = evolve(target, keys=keys, live=live)
            finished = await Runner(judged, SETTINGS).run(list(cases), listen)
            nursery.cancel_scope.cancel()
        return Ran({r.case: r for r in finished.results}, events, finished.seconds)

    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def _device(
    dial: Callable[[bool], Awaitable[trio.abc.Stream]],
    key: str,
    *,
    task_status: trio.TaskStatus[DeviceClient],
) -> None:
    here = partial(open_device, "ws://gateway.test", opener=lambda url: dial(False))
    async with here(api_key=key, source_id=CAMERA.source_id) as device:
        task_status.started(device)
        await trio.sleep_forever()


# ── a key that may only watch ────────────────────────────────────────────────────────────────


class Witness(Gateway):
    """Remembers the keys that devices came with, and the sources that sent."""

    def __init__(self, store: KeyStore) -> None:
        super().__init__(store)
        self.device_keys: list[str] = []
        self.device_connection = Witnessed


class Witnessed(DeviceConnection):
    async def answer(self, api_key: str) -> None:
        assert isinstance(self.gateway, Witness)
        self.gateway.device_keys.append(api_key)
        await super().answer(api_key)


def test_judge_may_only_watch_and_judges_all_that_viewers_can_and_publishes_nothing() -> None:
    witness = Witness(STORE)
    run = ran(PLAIN, STEADY, gateway=witness)
    assert run.accusations == []
    assert witness.device_keys == [PUBLISHER]
    needy = {case.id for case in PLAIN if Need.PUBLISHER in case.needs}
    missing = run.at(Verdict.UNTESTABLE)
    assert needy | {"auth.key-revoked", "auth.no-api-access"} == set(missing)
    assert all(Need.PUBLISHER.value in missing[case] for case in needy)
    assert {run.results[case.id].verdict for case in LIVE} == {Verdict.PASS}
    assert run.seconds <= max(case.takes for case in PLAIN) + 2
    # Whoever watches what is online watches the camera that sends.
    (in_time,) = [event for event in run.events if event.result.case == "auth.in-time"]
    (transcript,) = in_time.transcripts
    assert {(c.source_id, c.cameras) for c in transcript.conversations} == {("robot-01", ("gate",))}


def test_judge_may_publish_as_well_and_judges_everything_and_watches_that_camera_all_the_same() -> (
    None
):
    chosen = [*LIVE, CASES["frames.relayed"], CASES["dev.authenticated"], CASES["init.at-once"]]
    run = ran(chosen, STEADY, keys=evolve(MAY_WATCH, device_key=PUBLISHER))
    assert run.accusations == []
    assert run.at(Verdict.UNTESTABLE) == {}
    sources = {
        event.result.case: {c.source_id for t in event.transcripts for c in t.conversations}
        for event in run.events
    }
    assert sources["live.frames"] == {"robot-01"}
    assert sources["init.at-once"] == {"plexwire-live-online"}


# ── cameras that tell little ─────────────────────────────────────────────────────────────────


def test_camera_is_silent_nothing_is_concluded_and_it_is_said_what_to_check() -> None:
    others = [CASES[name] for name in ("auth.in-time", "init.at-once", "time.closes", "conn.ping")]
    run = ran([*LIVE, *others], falls_silent)
    assert run.accusations == []
    assert run.at(Verdict.UNTESTABLE) == {
        case.id: "robot-01/gate sent nothing within 5 s (still open; init lists 'gate' of its source): does it "
        "run, is it called so, and may the key watch it?"
        for case in LIVE
    }
    assert {run.results[case.id].verdict for case in others} == {Verdict.PASS}


def test_camera_is_not_there_and_the_gateway_lets_viewers_wait_nothing_is_concluded() -> None:
    run = ran(LIVE, None)
    assert run.accusations == []
    untestable = run.at(Verdict.UNTESTABLE)
    assert set(untestable) == {case.id for case in LIVE}
    assert all("init lists no camera of its source" in reason for reason in untestable.values())


def test_nobody_may_publish_and_no_camera_is_named_and_it_is_said_what_to_provide() -> None:
    run = ran(LIVE, STEADY, live=None)
    assert run.accusations == []
    assert set(run.at(Verdict.UNTESTABLE).values()) == {
        "no camera runs: provide a key that a device may use: PLEXWIRE_DEVICE_KEY, or one that runs anyway: "
        "--live SOURCE_ID/CAMERA_ID"
    }


@pytest.mark.parametrize("how", ODD)
def test_camera_is_odd_and_the_gateway_is_not_blamed_for_it(how: str) -> None:
    sends, unclear = ODD[how]
    run = ran(LIVE, sends)
    assert run.accusations == []
    assert set(run.at(Verdict.UNTESTABLE)) == unclear


# ── gateways that let nobody watch ───────────────────────────────────────────────────────────


class TurnsAway(ViewerConnection):
    """Closes viewers of what is not there with a code of its own."""

    def admit(self, granted: KeyGranted) -> None:
        self.peer.close(4004, "no such source", now=trio.current_time())


class KnowsNoAddress(Gateway):
    def read_address(self, target: str) -> StreamAddress:
        raise AddressRefused("no such source", "PW-ADDR-12", "source_id", Refusal.BAD_SOURCE_ID)


def turns_away() -> Gateway:
    gateway = Gateway(STORE)
    gateway.viewer_connection = TurnsAway
    return gateway


@pytest.mark.parametrize(
    ("gateway", "said"),
    [
        (
            turns_away(),
            "the gateway lets nobody watch robot-01/gate (close 4004). Does the camera",
        ),
        (KnowsNoAddress(STORE), "answers a viewer of robot-01/gate by HTTP 400"),
    ],
)
def test_gateway_lets_nobody_watch_and_it_is_no_accusation_but_a_question(
    gateway: Gateway, said: str
) -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        ran(LIVE, None, gateway=gateway)
    (question,) = leaves(caught.value)
    assert isinstance(question, CouldNotJudge)
    assert said in str(question)


def leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for each in group.exceptions:
        if isinstance(each, BaseExceptionGroup):
            yield from leaves(each)
        else:
            yield each


# ── faults ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("case_id", "fault_id", "check"),
    [
        ("live.frames", "frames.source-renamed", "PW-FRAME-8/live-other-names"),
        ("live.frames", "frames.no-camera-id", "PW-FRAME-1/member-not-a-string"),
        ("live.frames", "frames.url-safe-base64", "PW-FRAME-11/bad-base64"),
        ("live.frames", "iso.all-cameras", "PW-ISO-1/other-camera"),
        ("live.listed", "init.always-empty", "PW-INIT-5/online-camera-missing"),
        ("live.same-for-all", "frames.watermarked", "PW-FRAME-2/viewers-disagree"),
        ("live.same-for-all", "frames.two-viewers-at-most", "PW-FRAME-10/live-none-for-one"),
        ("live.no-replay", "frames.last-frame-replayed", "PW-FRAME-7/replayed"),
        ("live.other-camera", "iso.camera-prefix", "PW-ISO-1/other-camera"),
        ("live.other-camera", "iso.camera-in-any-case", "PW-ISO-1/other-camera"),
        ("live.other-source", "iso.same-camera-elsewhere", "PW-ISO-2/other-source"),
        ("live.foreign-viewer", "iso.foreign-frames", "PW-ISO-3/other-organisation"),
    ],
)
def test_gateway_is_faulty_and_a_viewer_of_a_camera_that_runs_sees_it(
    case_id: str, fault_id: str, check: str
) -> None:
    gateway = FAULTS[fault_id].build()
    keys = evolve(keys_of(gateway.given), device_key="")
    run = ran(
        [CASES[case_id]],
        TWO_CAMERAS,
        gateway=gateway,
        publisher=gateway.given.device_key,
        keys=keys,
    )
    assert {said for _, said, _ in run.accusations} == {check}
    assert run.results[case_id].verdict is Verdict.FAIL


def test_gateway_sends_twice_what_the_run_itself_sent_and_that_is_no_doubt_the_gateway() -> None:
    gateway = FAULTS["frames.twice"].build()
    case = CASES["live.same-for-all"]
    run = ran([case], None, gateway=gateway, keys=keys_of(gateway.given), live=None)
    assert {said for _, said, _ in run.accusations} == {"PW-FRAME-6/repeated"}


def test_gateway_sends_twice_what_a_camera_sent_and_that_may_have_been_the_camera() -> None:
    gateway = FAULTS["frames.twice"].build()
    keys = evolve(keys_of(gateway.given), device_key="")
    case = CASES["live.same-for-all"]
    run = ran([case], STEADY, gateway=gateway, publisher=gateway.given.device_key, keys=keys)
    assert run.accusations == []
    assert "whether robot-01/gate sends them so can't be seen" in run.results[case.id].reason


def test_pictures_are_none_and_that_may_be_the_camera_as_well_as_the_gateway() -> None:
    gateway = FAULTS["frames.encoded-twice"].build()
    keys = evolve(keys_of(gateway.given), device_key="")
    publisher = gateway.given.device_key
    run = ran([CASES["live.frames"]], STEADY, gateway=gateway, publisher=publisher, keys=keys)
    assert run.accusations == []
    reason = run.results["live.frames"].reason
    assert reason.startswith(
        "24 of 24 pictures do not begin as a JPEG does: the device sends none, or"
    )


def test_every_live_case_is_failed_by_a_faulty_gateway_here() -> None:
    (marks,) = [
        mark
        for mark in test_gateway_is_faulty_and_a_viewer_of_a_camera_that_runs_sees_it.pytestmark  # type: ignore[attr-defined]
        if mark.name == "parametrize"
    ]
    assert {case_id for case_id, _, _ in marks.args[1]} == {case.id for case in LIVE}
    assert isinstance(FAULTS["frames.watermarked"].build(), FaultyGateway)
