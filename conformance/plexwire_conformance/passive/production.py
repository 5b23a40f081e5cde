"""A viewer that watches production for hours: politely, on one connection, judging and counting what comes."""

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import trio
from attrs import define, field, frozen

from plexwire_client import backoff_s
from plexwire_conformance.passive.heard import Heard
from plexwire_conformance.passive.live_judge import Ear, LiveJudge
from plexwire_conformance.recording.recorder import Entry, Way, WireRecorder
from plexwire_conformance.target.dialling import dial, upgrade
from plexwire_conformance.target.target import Target
from plexwire_conformance.wire.peer import (
    ClosingKind,
    Ending,
    HandshakeFailed,
    NoConnection,
    RawPeer,
)
from plexwire_conformance.wire.roles import auth_text, stream_target
from plexwire_conformance.wire.served_peer import HandshakeRequest

#: Seconds for a connection, and for its handshake.
_PATIENCE_S: Final = 10.0
#: Seconds that each stream is asked to last: a gateway may notice a vanished viewer only then.
STREAM_S: Final = 600
#: A silence of a camera that is this many times its usual interval, and so many seconds at least, is a gap.
_GAP_TIMES: Final = 5.0
_GAP_LEAST_S: Final = 1.0
#: Intervals, and latencies, that are remembered for a median and for the line of a minute.
_RECENT: Final = 200
_LATENCIES: Final = 20_000
_TIMEOUT: Final = 4008
#: The gateway refuses the key, or the plan: coming back would not help.
_REFUSED: Final = (4001, 4002)


@frozen(kw_only=True)
class Minute:
    """What came in a stretch of time, of all cameras together; times are in seconds."""

    seconds: float
    frames: int
    bytes: int
    gaps: int
    longest_gap: float
    latency_p50: float | None
    latency_p95: float | None
    reconnects: int


class KeyRefused(Exception):
    """The gateway refuses the key; the text says how."""


@define(eq=False)
class Pace:
    """The pace of one camera: when its frames come, and how long it was silent."""

    _intervals: deque[float] = field(factory=lambda: deque[float](maxlen=_RECENT), init=False)
    _last: float | None = field(default=None, init=False)
    gaps: int = field(default=0, init=False)
    longest: float = field(default=0.0, init=False)

    def frame(self, at: float) -> None:
        """Note a frame that came at *at*, in seconds."""
        if self._last is not None:
            interval = at - self._last
            if self.is_gap(interval):
                self.gaps += 1
            else:
                self._intervals.append(interval)
            self.longest = max(self.longest, interval)
        self._last = at

    def is_gap(self, silence: float) -> bool:
        """Whether so many seconds without a frame are unusual for this camera."""
        if not self._intervals:
            return False
        usual = sorted(self._intervals)[len(self._intervals) // 2]
        return silence > max(_GAP_LEAST_S, _GAP_TIMES * usual)

    def begin_again(self) -> None:
        """Forget when the last frame came: between two connections nobody could have seen one."""
        self._last = None


@define(eq=False)
class Production:
    """Watches *cameras* of a source at *target* until it is cancelled, and comes back after every end but a refusal."""

    target: Target
    source_id: str
    cameras: Sequence[str]
    judge: LiveJudge
    chance: Callable[[], float]
    unix_s: Callable[[], float] = time.time
    trouble: Callable[[str], None] = lambda text: None
    #: Since the beginning.
    frames: int = field(default=0, init=False)
    bytes: int = field(default=0, init=False)
    inits: int = field(default=0, init=False)
    connects: int = field(default=0, init=False)
    closes: Counter[str] = field(factory=Counter[str], init=False)
    latencies: deque[float] = field(factory=lambda: deque[float](maxlen=_LATENCIES), init=False)
    paces: dict[str, Pace] = field(factory=dict[str, Pace], init=False)
    is_connected: bool = field(default=False, init=False)
    _failures: int = field(default=0, init=False)
    #: What a minute counts from.
    _told: tuple[int, int, int, int] = field(default=(0, 0, 0, 0), init=False)

    async def run(self) -> None:
        """Watch.

        Raises:
            KeyRefused: the gateway refuses the key.
        """
        while True:
            ending = await self._once()
            self.is_connected = False
            for pace in self.paces.values():
                pace.begin_again()
            if ending is not None:
                if ending.code in _REFUSED:
                    raise KeyRefused(f"the gateway refuses the key in PLEXWIRE_API_KEY ({ending})")
                self.closes[_named(ending)] += 1
                if ending.code == _TIMEOUT and not self._failures:
                    continue
                self.trouble(f"the stream ended: {ending}")
            self._failures += 1
            await trio.sleep(backoff_s(self._failures - 1, self.chance()))

    async def _once(self) -> Ending | None:
        """Watch on one connection; return how it ended, None if there was none."""
        endpoint = self.target.viewers
        address = f"{endpoint.path}{stream_target(self.source_id, self.cameras, STREAM_S)}"
        self.connects += 1
        heard = Heard(f"connection {self.connects}")
        recorder = WireRecorder(heard.name, self.target.keys.secrets)
        try:
            stream = await dial(endpoint, narrow=False, within=_PATIENCE_S)
            peer = RawPeer(stream, recorder, trio.current_time)
            shake = partial(peer.handshake, address, endpoint.host_header, self.target.headers)
            await upgrade(stream, shake, within=_PATIENCE_S)
        except (NoConnection, HandshakeFailed) as error:
            self.trouble(f"{endpoint.url}: {error.problem}")
            return None
        ear = self.judge.listen(heard)
        heard.open(HandshakeRequest(address, {}), trio.current_time())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.run)
            await peer.send(auth_text(self.target.keys.api_key))
            try:
                while peer.ending is None:
                    await peer.next(_PATIENCE_S)
                    self._take(recorder, ear)
            finally:
                with trio.CancelScope(shield=True):
                    await peer.close()
                    await peer.until_ended(1.0, exactly=True)
                nursery.cancel_scope.cancel()
        self._take(recorder, ear)
        ear.end()
        return peer.ending

    def _take(self, recorder: WireRecorder, ear: Ear) -> None:
        """Judge and count what was recorded, and keep none of it."""
        for entry in recorder.entries:
            ear.take(entry)
            if entry.way is Way.RECEIVED:
                self._count(entry)
        recorder.entries.clear()

    def _count(self, entry: Entry) -> None:
        if entry.type == "init":
            self.inits += 1
            self.is_connected = True
            self._failures = 0
        if entry.type != "video_frame" or entry.body is None:
            return
        self.frames += 1
        self.bytes += entry.size
        camera = entry.body.get("camera_id")
        if isinstance(camera, str) and camera in self.cameras:
            self.paces.setdefault(camera, Pace()).frame(entry.at)
        stamp = entry.body.get("timestamp")
        if isinstance(stamp, int | float) and not isinstance(stamp, bool):
            arrived = self.unix_s() - (trio.current_time() - entry.at)
            self.latencies.append(arrived - stamp / 1000)

    @property
    def gaps(self) -> int:
        """How often a camera was silent for unusually long."""
        return sum(pace.gaps for pace in self.paces.values())

    def minute(self, seconds: float) -> Minute:
        """Return what came since the last call, which was so many *seconds* ago."""
        frames, size, gaps, connects = self._told
        self._told = (self.frames, self.bytes, self.gaps, self.connects)
        late = sorted(self.latencies)
        longest = max((pace.longest for pace in self.paces.values()), default=0.0)
        for pace in self.paces.values():
            pace.longest = 0.0
        self.latencies.clear()
        return Minute(
            seconds=seconds,
            frames=self.frames - frames,
            bytes=self.bytes - size,
            gaps=self.gaps - gaps,
            longest_gap=longest,
            latency_p50=late[len(late) // 2] if late else None,
            latency_p95=late[int(0.95 * (len(late) - 1))] if late else None,
            reconnects=max(0, self.connects - max(connects, 1)),
        )


def _named(ending: Ending) -> str:
    if ending.kind is ClosingKind.CLOSE_FRAME:
        return str(ending.code or "none")
    return ending.kind.name.lower().replace("_", "-")
