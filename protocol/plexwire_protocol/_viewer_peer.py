"""A viewer of a `Hub`."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias, final

from plexwire_protocol._addresses import StreamAddress
from plexwire_protocol._codec import EncodedFrame
from plexwire_protocol._gateway import GatewayViewerSession
from plexwire_protocol._messages import GatewayReconnecting, OnlineSource, Role
from plexwire_protocol._peer import Peer
from plexwire_protocol._relay import Subscriber

if TYPE_CHECKING:
    from plexwire_protocol._hub import Hub

#: Why a frame got lost: a newer one came first, or there was no memory for all that waited.
REPLACED: Final = "replaced"


#: Takes what the hub's `finish` made of a frame, to write it; returns when all of it was written, on the hub's clock, or
#: None if some of it has to wait.
Offer: TypeAlias = Callable[[Any], float | None]


class ViewerPeer(Peer[GatewayViewerSession]):
    """A viewer: frames wait for it in the relay, at most one per camera.

    A stack that can write without waiting may set `offer`, to be given a frame at once while its writer rests: `wake` is
    not called then.  After a None it asks `next_outgoing` when the frame has been written.  `offer` is called with the
    hub's lock held, in the task of whoever published the frame; it must not wait, not raise, and not call the hub.
    """

    role: ClassVar[Role] = Role.VIEWER

    def __init__(self, hub: "Hub", session: GatewayViewerSession, wake: Callable[[], None]) -> None:
        self.offer: Offer | None = None
        self._subscriber: Subscriber | None = None
        self._handed: EncodedFrame | None = None
        self._in_hand: EncodedFrame | None = None
        self._notice: GatewayReconnecting | None = None
        self._error: Exception | None = None
        super().__init__(hub, session, wake)

    @property
    def address(self) -> StreamAddress:
        """What the viewer asked for."""
        return self.session.address

    @property
    def waiting(self) -> int:
        """How many frames wait for this viewer."""
        return 0 if self._subscriber is None else self._subscriber.waiting

    @property
    def dropped(self) -> int:
        """How many frames it missed: a newer one replaced them unsent, or there was no memory for all that waited."""
        return 0 if self._subscriber is None else self._subscriber.dropped

    @final
    def announce(self, message: GatewayReconnecting) -> None:
        """Send *message* when no frame waits any more; a newer message or a frame takes its place.  [PW-RECON-1]"""

        def note() -> None:
            self._notice = message
            self.hub.wake_later(self)

        self._locked(note)

    @final
    def withdraw(self) -> None:
        """Forget what was announced and not sent yet: the upstream is back."""
        with self.hub.lock:
            self._notice = None

    # ── what a subclass may do differently ───────────────────────────────────────────────────

    def _online(self) -> Iterable[OnlineSource]:
        """Return what the `init` lists.  [PW-INIT-5, PW-INIT-6]"""
        return self.hub.relay.online(self.organisation, self.address.source_id)

    def _subscribe(self) -> Subscriber:
        """Ask the relay for the cameras of the address.  [PW-ISO-1, PW-ISO-2, PW-ISO-3]"""
        address = self.address
        return self.hub.relay.subscribe(
            self.organisation, address.source_id, address.cameras, take=self._note_frame
        )

    def _note_frame(self, frame: EncodedFrame) -> bool:
        """Hand *frame* to the writer if that rests; else it waits in the relay."""
        self._notice = None
        # Handed, it does not wait: one that comes in the same segment must not take its place.
        if not self._rests:
            return False
        self._hand(frame)
        return True

    def _take_frame(self) -> EncodedFrame | None:
        """Take the next frame for this viewer, if one waits."""
        return None if self._subscriber is None else self.hub.relay.next_for(self._subscriber)

    @final
    def _hand(self, frame: EncodedFrame) -> None:
        self._handed, self._rests = frame, False
        if self.offer is None or self._own:
            self.hub.wake_later(self)
            return
        try:
            text = self._next_frame(frame.came)
            if text is None:
                self.hub.wake_later(self)
            elif (written := self.offer(text)) is not None:
                self._note_written(written)
                self._rests = True
        except Exception as error:
            # Of a subclass: it must cost this viewer, and not the device whose frame it is.
            self._error = error
            self.hub.wake_later(self)

    def _admit(self, online: Iterable[OnlineSource] | None, now: float) -> None:
        # In one step with the init: what is published from here on follows it.  [PW-INIT-3, PW-FRAME-7]
        self.session.grant(self._online() if online is None else online, now=now)
        self._subscriber = self._subscribe()

    def _leave(self) -> None:
        self._handed = None
        assert self._subscriber is not None  # it was admitted
        self.hub.relay.unsubscribe(self._subscriber)
        self.hub.traffic.dropped[REPLACED] += self._subscriber.dropped

    def _next_frame(self, now: float) -> str | bytes | None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        frame = self._handed or self._take_frame()
        if frame is None:
            if self._notice is not None:
                self.session.send(self._notice, now=now)
                self._notice = None
                self._own.extend(self.session.take_outbox())
            return None
        self._handed, self._in_hand = None, frame
        return frame.text

    def _note_written(self, now: float) -> None:
        frame = self._in_hand
        if frame is None:
            return
        self._in_hand = None
        hub, size = self.hub, frame.size
        self.frames += 1
        self.frame_bytes += size
        traffic = hub.traffic
        traffic.frames_out += 1
        traffic.bytes_out += size
        if hub.observe_delay is not None:
            hub.observe_delay(now - frame.came)
