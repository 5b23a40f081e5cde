"""The device's end."""

from typing import ClassVar, Final

from plexwire_protocol._binary import encode_device_frame
from plexwire_protocol._closing import KEY_REFUSALS, Close, CloseCode
from plexwire_protocol._codec import encode
from plexwire_protocol._errors import (
    LocalProtocolError,
    MalformedMessage,
    UnexpectedMessage,
)
from plexwire_protocol._events import Event, MessageReceived
from plexwire_protocol._messages import (
    AnyMessage,
    DeviceAuth,
    ErrorReport,
    Heartbeat,
    Message,
    Role,
    VideoFrame,
)
from plexwire_protocol._session import Session
from plexwire_protocol._states import (
    DEVICE_CONVERSATION,
    ConversationTable,
    Deadline,
    Edge,
    State,
    Timer,
)
from plexwire_protocol.limits import MAX_MESSAGE_BYTES


class DeviceSession(Session):
    """A device: send `DeviceAuth`, wait for `Authenticated`, then send frames; heartbeats go out by themselves."""

    _table: ClassVar[ConversationTable] = DEVICE_CONVERSATION
    _role: ClassVar[Role] = Role.DEVICE
    _peer: ClassVar[Role] = Role.GATEWAY

    def __init__(self, *, agent_version: str = "", now: float) -> None:
        super().__init__(now=now)
        self._heartbeat = Heartbeat(agent_version=agent_version)

    def send(self, message: DeviceAuth | VideoFrame, *, now: float) -> None:
        """Send the `DeviceAuth`, first and once, or a frame: binary, or text where it has `extra` members.

        Raises:
            LocalProtocolError: it may not be sent now, or its message would be over 1 MiB.  [PW-LIM-5]

        """
        edge = self._sendable(type(message), "PW-DEV-1")
        data: str | bytes
        if isinstance(message, VideoFrame) and not message.extra:
            data = encode_device_frame(message)
        else:
            data = encode(message)
        if len(data) > MAX_MESSAGE_BYTES:
            raise LocalProtocolError(
                f"the message would have {len(data)} bytes, over {MAX_MESSAGE_BYTES}", "PW-LIM-5"
            )
        if isinstance(message, DeviceAuth):
            self._heartbeat = Heartbeat(
                source_id=message.source_id, agent_version=self._heartbeat.agent_version
            )
        self._outbox.append(data)
        self._follow(edge, now)

    def _received(self, message: AnyMessage, edge: Edge, *, now: float) -> list[Event]:
        if edge.target is State.CLOSED:
            return [MessageReceived(message), *self._end(edge, _closing_after(message), now)]
        self._follow(edge, now)
        return [MessageReceived(message)]

    def _received_malformed(self, error: MalformedMessage, *, now: float) -> list[Event]:
        if self._state is State.CHECKING_KEY:
            return self._wrong_answer(f"{error.where} {error.problem}", now=now)
        return super()._received_malformed(error, now=now)

    def _received_unknown(self, message: AnyMessage, *, now: float) -> list[Event]:
        if self._state is State.CHECKING_KEY:
            return self._wrong_answer("it is not `authenticated`", now=now)
        return super()._received_unknown(message, now=now)

    def _wrong_answer(self, problem: str, *, now: float) -> list[Event]:
        error = UnexpectedMessage(f"the answer to the auth: {problem}", "PW-DEV-14")
        return self._violated(error, now=now)

    def _due(self, timer: Timer) -> list[Event]:
        if timer.deadline is Deadline.ANSWER:
            return [self._missing("answer", timer)]
        self._say(self._heartbeat, timer.clause)
        return []


#: What an `error` says for a key that will not be accepted the next time either; "1011" and "1013" may be.
_KEY_REFUSED: Final = frozenset(code.name.lower() for code in KEY_REFUSALS)


def _closing_after(message: Message) -> Close:
    """Return the close of a device that the gateway refused by *message*."""
    refused = isinstance(message, ErrorReport) and message.code.lower() in _KEY_REFUSED
    return Close(CloseCode.NORMAL, "refused", key_refused=refused)
