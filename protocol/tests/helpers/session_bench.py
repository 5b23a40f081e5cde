"""Sessions of both conversations, at either end, in every state."""

from collections.abc import Callable

import pytest
from attrs import frozen
from hypothesis import strategies as st

from plexwire_protocol import (
    Auth,
    Authenticated,
    DeviceAuth,
    DeviceSession,
    ErrorReport,
    GatewayDeviceSession,
    GatewayReconnecting,
    GatewayViewerSession,
    Heartbeat,
    Init,
    Message,
    Role,
    Session,
    State,
    StreamAddress,
    VideoFrame,
    ViewerSession,
    encode,
)
from plexwire_protocol.tables import (
    DEVICE_CONVERSATION,
    VIEWER_CONVERSATION,
    ConversationTable,
)

#: When everything begins here, in seconds on the caller's clock.

NOW = 1000.0
KEY = "plx_5ec4e7c0ffee"

AUTH = Auth(api_key=KEY)
DEVICE_AUTH = DeviceAuth(api_key=KEY, source_id="drone-01")
INIT = Init(online_sources=())
AUTHENTICATED = Authenticated(source_id="drone-01", server_time_ms=0)
FRAME = VideoFrame(camera_id="front", jpeg=b"\xff\xd8", width=640, height=480, timestamp=0)
RECONNECTING = GatewayReconnecting(attempt=1, max_attempts=5, delay_s=2)
MESSAGES = (
    AUTH,
    DEVICE_AUTH,
    INIT,
    AUTHENTICATED,
    FRAME,
    RECONNECTING,
    ErrorReport(code="rate_limited"),
    Heartbeat(),
)


def say(session: Session, message: Message) -> None:
    """Send *message* by the method that *session* has for it."""
    match session, message:
        case ViewerSession(), Auth():
            session.send(message, now=NOW)
        case DeviceSession(), DeviceAuth() | VideoFrame():
            session.send(message, now=NOW)
        case GatewayViewerSession(), Init():
            session.grant(message.online_sources, now=NOW)
        case GatewayViewerSession(), VideoFrame() | GatewayReconnecting():
            session.send(message, now=NOW)
        case GatewayDeviceSession(), Authenticated():
            session.grant(server_time_ms=message.server_time_ms, now=NOW)
        case _:
            raise NotImplementedError


@frozen
class End:
    """One end of a conversation that opens with `auth` and `answer`, and the messages that it `says`."""

    role: Role
    peer: Role
    conversation: ConversationTable
    connect: Callable[[], Session]
    auth: Message
    answer: Message
    says: tuple[Message, ...]

    def session(self, state: State) -> Session:
        """Return a session in *state*, its outbox taken."""
        session = self.connect()
        if state in (State.CHECKING_KEY, State.STREAMING):
            self._pass(session, self.auth)
        if state is State.STREAMING:
            self._pass(session, self.answer)
        if state is State.CLOSED:
            session.close(now=NOW)
        session.take_outbox()
        return session

    def _pass(self, session: Session, message: Message) -> None:
        if type(message) in {type(own) for own in self.says}:
            say(session, message)
        else:
            session.receive(encode(message), now=NOW)


ENDS = (
    End(
        Role.VIEWER,
        Role.GATEWAY,
        VIEWER_CONVERSATION,
        lambda: ViewerSession(now=NOW),
        AUTH,
        INIT,
        says=(AUTH,),
    ),
    End(
        Role.GATEWAY,
        Role.VIEWER,
        VIEWER_CONVERSATION,
        lambda: GatewayViewerSession(StreamAddress(source_id="drone-01", timeout=60), now=NOW),
        AUTH,
        INIT,
        says=(INIT, FRAME, RECONNECTING),
    ),
    End(
        Role.DEVICE,
        Role.GATEWAY,
        DEVICE_CONVERSATION,
        lambda: DeviceSession(agent_version="1.0", now=NOW),
        DEVICE_AUTH,
        AUTHENTICATED,
        says=(DEVICE_AUTH, FRAME),
    ),
    End(
        Role.GATEWAY,
        Role.DEVICE,
        DEVICE_CONVERSATION,
        lambda: GatewayDeviceSession(now=NOW),
        DEVICE_AUTH,
        AUTHENTICATED,
        says=(AUTHENTICATED,),
    ),
)
each_end = pytest.mark.parametrize(
    "end", ENDS, ids=[f"{end.role.value}-in-{end.conversation.name}-conversation" for end in ENDS]
)
each_state = pytest.mark.parametrize("state", State, ids=lambda state: state.name.lower())
each_open_state = pytest.mark.parametrize(
    "state", [s for s in State if s is not State.CLOSED], ids=lambda state: state.name.lower()
)
any_end = st.sampled_from(ENDS)
any_open_state = st.sampled_from([s for s in State if s is not State.CLOSED])
