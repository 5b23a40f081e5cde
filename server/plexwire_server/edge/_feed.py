"""One stream of the upstream, shared by the viewers of an edge that asked for the same with the same key."""

import logging
from math import inf
from typing import Final, Protocol

import trio
from attrs import define, field, frozen
from wsproto.frame_protocol import CloseReason

from plexwire_protocol import (
    Auth,
    Close,
    CloseCode,
    EncodedFrame,
    Event,
    GatewayDeviated,
    GatewayReconnecting,
    Init,
    MessageReceived,
    MessageRefused,
    Publisher,
    StreamAddress,
    VideoFrame,
)
from plexwire_server._gateway_state import GatewayState
from plexwire_server._log import LogValue
from plexwire_server.edge._upstream import Upstream
from plexwire_server.edge._upstream_connection import UpstreamConnection
from plexwire_server.edge._upstream_status import UpstreamStatus

_log: Final = logging.getLogger(__name__)

#: Why a frame of the upstream goes nowhere: nobody asked for its source or camera.
FOREIGN: Final = "foreign"

#: Codes of RFC 6455's registry that tell a viewer something about itself, as those from 4000 on do.
_PERSONAL: Final = (CloseReason.POLICY_VIOLATION, CloseReason.TRY_AGAIN_LATER)


@frozen
class FeedIdentity:
    """What viewers have in common that share a feed; the key is there as a digest alone."""

    key_digest: bytes = field(repr=False)
    source_id: str
    cameras: frozenset[str]

    @property
    def key_name(self) -> str:
        """What tells keys apart in a log, for as long as the edge runs."""
        return self.key_digest.hex()[:12]


class FeedViewer(Protocol):
    """What a feed needs of a viewer."""

    def welcome(self, feed: "Feed", init: Init, /) -> None:
        """Accept the viewer, with the *init* of the upstream, to watch *feed*."""

    def cut_off(self, close: Close, /) -> None:
        """End the stream because of the upstream, or before it began."""

    def send_reconnecting(self, message: GatewayReconnecting, /) -> None:
        """Send *message* once the frames that wait are out."""

    def withdraw_reconnecting(self) -> None:
        """Forget a message that was not sent yet, as the upstream is back."""


@define(eq=False)
class _Outage:
    """The time without the upstream; `lost` is how it went."""

    lost: Close
    since: float
    attempt: int = field(default=0, init=False)
    hurried: bool = field(default=False, init=False)
    pause: trio.CancelScope = field(factory=trio.CancelScope, init=False)


class Feed:
    """Asks the upstream whether *first* may enter, and then feeds it and whoever joins, until the last one leaves.

    `run` is its whole life.  *shared* are the edge's feeds that viewers may join, this one among them once the upstream
    has accepted *first*.  If it holds a feed of the same `identity` already, this one only asks: *first* gets the fresh
    `init` that it fetched, and joins the other.  `answered` is set once that is decided, `over` at the very end.
    """

    def __init__(
        self,
        gateway: GatewayState,
        status: UpstreamStatus,
        shared: "dict[FeedIdentity, Feed]",
        name: str,
        identity: FeedIdentity,
        address: StreamAddress,
        auth: Auth,
        first: FeedViewer,
    ) -> None:
        #: What the relay knows it as.
        self.name = name
        self.identity = identity
        self.viewers: dict[FeedViewer, None] = {}
        self.answered = trio.Event()
        self.over = trio.Event()
        self._gateway = gateway
        self._status = status
        self._shared = shared
        self._address = address
        self._auth = auth
        self._asking: FeedViewer | None = first
        self._publisher: Publisher | None = None
        self._outage: _Outage | None = None
        self._scope = trio.CancelScope()
        self._welcomed_at = 0.0
        self._hurried_at = -inf
        self._connection = self._new_connection()

    def __repr__(self) -> str:
        return f"<Feed of {self.identity.source_id} for {len(self.viewers)} viewers>"

    @property
    def _upstream(self) -> Upstream:
        return self._status.upstream

    @property
    def away(self) -> bool:
        """Whether the upstream is away, and viewers wait for it."""
        return self._outage is not None

    async def run(self) -> None:
        """Feed the viewers; raises nothing: an error of ours closes them with 1011, and is counted.  [PW-CLOSE-2]"""
        end = Close(CloseCode.INTERNAL_ERROR)
        try:
            with self._scope:
                end = await self._feed()
        except Exception as error:
            self._gateway.metrics.crashes += 1
            _log.error("A feed crashed.", exc_info=error)
        finally:
            self._release(end)

    async def _feed(self) -> Close:
        close = await self._connect()
        if self._asking is not None:
            return _passed_on(close)
        while self.viewers and close.may_retry:
            close, gave_up = await self._reconnect(close)
            if gave_up:
                break
        return close

    # ── viewers ──────────────────────────────────────────────────────────────────────────────

    def join(self, viewer: FeedViewer) -> None:
        """Take in *viewer*, which was let in."""
        self.viewers[viewer] = None

    def leave(self, viewer: FeedViewer) -> None:
        """Let *viewer* go; with the last one the feed ends."""
        self.viewers.pop(viewer, None)
        if not self.viewers:
            self._stop()

    def abandon(self) -> None:
        """Ask no longer: the viewer has gone."""
        if self._asking is not None:
            self._asking = None
            self._scope.cancel()

    def hurry(self) -> None:
        """Try at once, as the upstream is there again: once an outage, or a busy edge would use up all attempts so.

        And once in `delay_s`: where the upstream lets everybody in and throws them out again, feeds would otherwise
        wake each other for ever.
        """
        now = trio.current_time()
        rested = now - self._hurried_at >= self._upstream.delay_s
        if self._outage is not None and not self._outage.hurried and rested:
            self._outage.hurried = True
            self._hurried_at = now
            self._outage.pause.cancel()

    def _stop(self) -> None:
        self._unshare()
        if self._connection.welcomed and not self.away:
            self._connection.close()
        else:
            self._scope.cancel()

    def _unshare(self) -> None:
        """Let no more viewers join."""
        if self._shared.get(self.identity) is self:
            del self._shared[self.identity]

    def _release(self, end: Close) -> None:
        self._unshare()
        if self._asking is not None:
            self._asking.cut_off(end)
        for viewer in self.viewers:
            viewer.cut_off(end)
        if self._publisher is not None:
            self._gateway.hub.leave(self._publisher)
            self._log_event("feed_closed")
        self.answered.set()
        self.over.set()

    # ── the upstream ─────────────────────────────────────────────────────────────────────────

    def _new_connection(self) -> UpstreamConnection:
        return UpstreamConnection(
            self._upstream,
            self._gateway.limits,
            self._address,
            self._auth,
            self._welcome,
            self._handle,
        )

    async def _connect(self) -> Close:
        close = await self._connection.run()
        if not self._connection.welcomed:
            self._status.note_not_accepted(close, self._connection.problem)
        return close

    async def _reconnect(self, lost: Close) -> tuple[Close, bool]:
        """Get the upstream back; return how its stream ended the next time, or how viewers end, as it is given up."""
        upstream = self._upstream
        self._outage = outage = _Outage(lost, trio.current_time())
        self._status.note_loss(lost)
        self._log_event("feed_lost", viewers=len(self.viewers), **_log_members(lost))
        for outage.attempt in range(1, upstream.max_attempts + 1):
            await self._wait(outage)
            self._connection = self._new_connection()
            close = await self._connect()
            if self._connection.welcomed:
                return close, False
            told = _log_members(close, self._connection.problem)
            self._log_event("feed_attempt_failed", attempt=outage.attempt, **told)
            if not close.may_retry:
                return close, True
        self._status.note_given_up()
        self._log_event("feed_gave_up", seconds=_since(outage))
        return Close(CloseCode.INTERNAL_ERROR, "the upstream gateway did not come back"), True

    async def _wait(self, outage: _Outage) -> None:
        """Tell the viewers of the next attempt, and wait until it is due.  [PW-RECON-1]"""
        delay = self._upstream.delay_s
        lasted = outage.since - self._welcomed_at
        if outage.attempt == 1 and outage.lost.code == CloseCode.TIMEOUT and lasted >= delay:
            delay = 0  # a regular end: whoever wants to go on connects again at once  [PW-TIME-3]
        self._pass_on(self._upstream.reconnecting(outage.attempt, delay_s=delay))
        self._status.note_attempt()
        with trio.move_on_after(delay) as outage.pause:
            await trio.sleep_forever()

    # ── what it sends ────────────────────────────────────────────────────────────────────────

    def _handle(self, event: Event, text: str) -> None:
        match event:
            case GatewayDeviated():
                self._status.note_deviation(event)
            case MessageReceived(message=Init()):
                # The upstream has got its own upstream back.  The viewers have had their init.  [PW-INIT-1]
                for viewer in self.viewers:
                    viewer.withdraw_reconnecting()
            case MessageReceived(message=VideoFrame() as frame):
                self._publish(frame, text)
            case MessageReceived(message=GatewayReconnecting() as message):
                self._pass_on(message)
            case MessageRefused(error):
                self._gateway.metrics.dropped[error.refusal.value] += 1
            case _:
                pass

    def _welcome(self, init: Init) -> None:
        """Let in who asks, in one step with the `init`: the frames behind it are for that viewer too.  [PW-INIT-3]"""
        self._welcomed_at = trio.current_time()
        if self._outage is not None:
            # The viewers have had their init, and get no other one.  [PW-INIT-1]
            outage, self._outage = self._outage, None
            self._log_event("feed_back", attempt=outage.attempt, seconds=_since(outage))
            for viewer in self.viewers:
                viewer.withdraw_reconnecting()
        elif self._asking is not None:
            feed = self._shared.setdefault(self.identity, self)
            if feed is self:
                self._publisher = self._gateway.hub.join(
                    self.name, self.identity.source_id, key=self.identity.key_name
                )
                self._log_event("feed_opened")
            else:
                self._connection.close()
            self._asking.welcome(feed, init)
            self._asking = None
            self.answered.set()
            if not feed.viewers:
                feed._stop()
        self._status.note_accepted()
        # Feeds that wait for the upstream may try immediately.
        for waiting in self._shared.values():
            waiting.hurry()

    def _publish(self, frame: VideoFrame, text: str) -> None:
        metrics = self._gateway.metrics
        identity = self.identity
        if frame.source_id != identity.source_id or frame.camera_id not in identity.cameras:
            metrics.dropped[FOREIGN] += 1
        elif self._publisher is not None:
            hub = self._gateway.hub
            hub.traffic.bytes_in += len(frame.jpeg)
            encoded = EncodedFrame(frame.camera_id, text) if text else EncodedFrame.of(frame)
            hub.publish(self._publisher, encoded, now=trio.current_time())

    def _pass_on(self, message: GatewayReconnecting) -> None:
        for viewer in self.viewers:
            viewer.send_reconnecting(message)

    def _log_event(self, name: str, **members: LogValue) -> None:
        identity = self.identity
        self._status.log_event(
            name, source=identity.source_id, cameras=sorted(identity.cameras), **members
        )


def _passed_on(close: Close) -> Close:
    """Return what a viewer is closed with whom the upstream did not let in: what concerns the viewer is passed on."""
    personal = close.code in _PERSONAL or 4000 <= close.code < 5000
    if personal and close.code != CloseCode.TIMEOUT:
        return close
    return Close(CloseCode.INTERNAL_ERROR, "the upstream gateway can't be reached")


def _log_members(close: Close, problem: str = "") -> dict[str, LogValue]:
    told: dict[str, LogValue] = {"code": int(close.code), "reason": close.reason}
    return {**told, "problem": problem} if problem else told


def _since(outage: _Outage) -> float:
    return round(trio.current_time() - outage.since, 3)
