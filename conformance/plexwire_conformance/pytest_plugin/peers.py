"""Publishers and viewers for tests of a gateway: synchronous, with a Trio thread behind them.

From an asyncio test call them in a thread (`await asyncio.to_thread(viewer.next_frame)`), else its loop stands still.
"""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Generic, Self, TypeVar

import pytest
from attrs import define, field

from plexwire_client import jpeg_size
from plexwire_conformance.pytest_plugin.conversation import DEFAULT_TIMEOUT_S, OpenConversation
from plexwire_conformance.pytest_plugin.trio_thread import TrioThread
from plexwire_conformance.run.case import Need
from plexwire_conformance.target.target import Target
from plexwire_conformance.wire.pictures import picture
from plexwire_protocol import (
    DEVICE_PATH,
    Auth,
    DeviceAuth,
    DeviceSession,
    GatewayDeviated,
    Init,
    JsonValue,
    Session,
    StreamAddress,
    VideoFrame,
    ViewerSession,
    __version__,
)
from plexwire_protocol.limits import DEFAULT_CAMERA

S = TypeVar("S", bound=Session)

#: What is said of a picture's size where its bytes do not tell: that nobody knows.
_NO_SIZE: Final = (0, 0)


@define(eq=False)
class _SyncPeer(Generic[S]):
    """One end of a conversation."""

    source_id: str
    _conversation: OpenConversation[S]
    _thread: TrioThread

    @property
    def close_code(self) -> int | None:
        """The code that the conversation was closed with, 1006 if without any; None while it goes on."""
        return None if self._conversation.close is None else int(self._conversation.close.code)

    def wait_closed(self, timeout: float = DEFAULT_TIMEOUT_S) -> int:
        """Wait until the conversation is over, for *timeout* seconds at most, and return `close_code`.

        Raises:
            TimeoutError: it goes on.
        """
        __tracebackhide__ = True
        self._thread.call(self._conversation.until, lambda: False, timeout)
        if self.close_code is None:
            raise TimeoutError(f"{self} is still open after {timeout:g} s")
        return self.close_code

    def close(self) -> None:
        """Close it properly; once closed, a no-op."""
        self._thread.call(self._conversation.leave)


@define(eq=False)
class SyncPublisher(_SyncPeer[DeviceSession]):
    """A device that is let in; a camera is online from its first picture on."""

    _stamp: int = field(default=0, init=False)

    def publish(
        self,
        camera_id: str = DEFAULT_CAMERA,
        jpeg: bytes | None = None,
        *,
        width: int | None = None,
        height: int | None = None,
        timestamp: int | None = None,
        extra: Mapping[str, JsonValue] | None = None,
    ) -> VideoFrame:
        """Send a picture, and return the frame as viewers should see it, once it is on its way.

        Without *jpeg* it is a small one that no other equals.  *width* and *height* are read from the picture unless
        given; *timestamp* is Unix milliseconds, by default now.  With *extra* members the frame goes out as text.

        Raises:
            MalformedMessage: a value that no frame can have.
            ConnectionLost: the gateway has closed the connection.
            RemoteProtocolError: the gateway broke the protocol.
        """
        __tracebackhide__ = True
        self._stamp = max(self._stamp + 1, time.time_ns() // 1_000_000)
        if jpeg is None:
            jpeg = picture(f"{self.source_id} {camera_id} {self._stamp}")
        size = jpeg_size(jpeg) or _NO_SIZE
        frame = VideoFrame(
            source_id=self.source_id,
            camera_id=camera_id,
            jpeg=jpeg,
            width=size[0] if width is None else width,
            height=size[1] if height is None else height,
            timestamp=self._stamp if timestamp is None else timestamp,
            extra={} if extra is None else dict(extra),
        )
        self._thread.call(self._conversation.send, frame)
        return frame

    def __str__(self) -> str:
        return f"the publisher of {self.source_id}"


@define(eq=False)
class SyncViewer(_SyncPeer[ViewerSession]):
    """A viewer that is let in; `init` is what the gateway said was online then."""

    init: Init

    @property
    def deviations(self) -> tuple[GatewayDeviated, ...]:
        """What the gateway sent against a clause and the viewer read all the same, the first of each kind."""
        return self._conversation.deviations

    def next_frame(
        self, timeout: float = DEFAULT_TIMEOUT_S, *, camera_id: str | None = None
    ) -> VideoFrame:
        """Return the next frame, of *camera_id* where that is given, waiting for *timeout* seconds at most.

        No frame that came is lost, however late it is asked for.

        Raises:
            TimeoutError: none came.
            ConnectionLost: the stream ended, whatever its code, and all that came was taken.
            RemoteProtocolError: the gateway broke the protocol.
        """
        __tracebackhide__ = True
        frame = self._thread.call(self._conversation.take, camera_id, timeout)
        if frame is None:
            which = "frame" if camera_id is None else f"frame of {camera_id}"
            raise TimeoutError(f"{self} got no {which} within {timeout:g} s")
        return frame

    def __str__(self) -> str:
        return f"the viewer of {self.source_id}"


@define(eq=False)
class _Opener:
    """Opens peers, and closes them all at its end."""

    _target: Target
    _thread: TrioThread
    _opened: list[SyncPublisher | SyncViewer] = field(
        factory=list[SyncPublisher | SyncViewer], init=False
    )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for peer in self._opened:
            peer.close()


class OpenPublisher(_Opener):
    """What the fixture `plexwire_publisher` gives."""

    def __call__(self, source_id: str, *, api_key: str | None = None) -> SyncPublisher:
        """Be the device *source_id*; *api_key* stands in for the target's.

        Raises:
            ConnectError: there is no WebSocket to be had.
            Refused: the gateway turned the key away; `close.code` says how.
            ConnectionLost: the connection broke before the gateway let the device in.
            RemoteProtocolError: the gateway broke the protocol.
        """
        __tracebackhide__ = True
        auth = DeviceAuth(
            api_key=self._publishing_key() if api_key is None else api_key,
            source_id=source_id,
            extra={"platform": "plexwire", "agent_version": __version__},
        )

        def begin(now: float) -> DeviceSession:
            session = DeviceSession(agent_version=__version__, now=now)
            session.send(auth, now=now)
            return session

        thread = self._thread
        conversation = thread.call(
            OpenConversation.open, thread, self._target.devices, DEVICE_PATH, begin
        )
        publisher = SyncPublisher(source_id, conversation, thread)
        self._opened.append(publisher)
        return publisher

    def _publishing_key(self) -> str:
        if self._target.watched is not None:
            pytest.skip(f"publishing needs {Need.PUBLISHER.value}; {self._target.live} is watched")
        return self._target.publishing


class OpenViewer(_Opener):
    """What the fixture `plexwire_viewer` gives."""

    def __call__(
        self,
        source_id: str,
        *cameras: str,
        timeout: int | None = None,
        api_key: str | None = None,
    ) -> SyncViewer:
        """Watch *cameras* of *source_id*; with *timeout* the gateway ends the stream after that many seconds.

        Raises:
            AddressRefused: *source_id*, *cameras* or *timeout* is none that a gateway could serve.
            ConnectError, Refused, ConnectionLost, RemoteProtocolError: as with a publisher.
        """
        __tracebackhide__ = True
        address = StreamAddress(
            source_id=source_id, cameras=cameras or (DEFAULT_CAMERA,), timeout=timeout
        )
        auth = Auth(api_key=self._target.keys.api_key if api_key is None else api_key)

        def begin(now: float) -> ViewerSession:
            session = ViewerSession(source_id=source_id, now=now)
            session.send(auth, now=now)
            return session

        thread = self._thread
        conversation = thread.call(
            OpenConversation.open, thread, self._target.viewers, address.target(), begin
        )
        viewer = SyncViewer(source_id, conversation, thread, conversation.init)
        self._opened.append(viewer)
        return viewer
