"""The worked conversations of the text, played against the core line by line."""

import json
import re
from math import inf
from typing import Any

import pytest
from attrs import define, field

from plexwire_protocol import (
    DEVICE_PATH,
    AuthReceived,
    Close,
    CloseCode,
    EncodedFrame,
    Event,
    GatewayDeviceSession,
    GatewayViewerSession,
    MessageReceived,
    Outgoing,
    Publisher,
    Relay,
    State,
    StreamAddress,
    Subscriber,
    VideoFrame,
)
from plexwire_spec import specification_text

_BLOCK = re.compile(r"^### ([^\n]*)\n(?:(?!^###).)*?^```conversation\n(.*?)^```", re.M | re.S)
_LINE = re.compile(r" *([0-9]+\.[0-9]{3})  (\w+) +(connects|sends|begins|closes|vanishes) ?(.*)")
_ORGANISATIONS = {"plx_example": "a", "plx_foreign": "b"}
_INSTANT = 1e-6


@define
class Connection:
    """The gateway's side of one connection."""

    session: GatewayViewerSession | GatewayDeviceSession
    key: str | None = None
    publisher: Publisher | None = None
    subscriber: Subscriber | None = None
    outgoing: list[Outgoing] = field(factory=list[Outgoing])


class Stage:
    """A gateway without sockets, told what happens and asked what it says."""

    def __init__(self) -> None:
        self.relay = Relay()
        self.open: dict[str, Connection] = {}

    def play(self, line: str) -> None:
        match = _LINE.fullmatch(line)
        assert match, line
        now, who, verb, rest = float(match[1]), match[2], match[3], match[4]
        peer = rest.partition(" ")[0] if who == "gateway" else who
        for name, connection in self.open.items():
            due = connection.session.next_deadline() <= now + _INSTANT
            assert name == peer or not due, f"{line}: something else was due"
        if who == "gateway":
            self._says(self.open[peer], verb, rest.partition(" ")[2], now)
        elif verb == "connects":
            self.open[who] = Connection(_session(rest, now))
        else:
            self._hears(self.open[who], verb, rest, now)

    def _hears(self, connection: Connection, verb: str, rest: str, now: float) -> None:
        session = connection.session
        match verb:
            case "sends" if rest.startswith("0x"):
                events = session.receive(bytes.fromhex(rest[2:]), now=now)
            case "sends":
                events = session.receive(rest, now=now)
            case "closes":
                events = session.receive_close(int(rest), now=now)
            case _:
                events = session.receive_close(CloseCode.ABNORMAL, now=now)
        self._take(connection, events)

    def _take(self, connection: Connection, events: list[Event]) -> None:
        for event in events:
            match event:
                case AuthReceived():
                    connection.key = event.api_key
                case MessageReceived(message=VideoFrame() as frame):
                    assert connection.publisher is not None
                    self.relay.publish(connection.publisher, frame)
                case _:
                    pass
        if connection.session.state is State.CLOSED:
            self._leave(connection)

    def _leave(self, connection: Connection) -> None:
        if connection.publisher is not None:
            self.relay.leave(connection.publisher)
        if connection.subscriber is not None:
            self.relay.unsubscribe(connection.subscriber)
        connection.publisher = connection.subscriber = None

    def _says(self, connection: Connection, verb: str, rest: str, now: float) -> None:
        session = connection.session
        if connection.key is not None:
            self._answer(connection, rest, now)
        connection.outgoing += session.take_outbox()
        if not connection.outgoing and session.next_deadline() < inf:
            assert session.handle_timeout(now=now - 0.0005) == [], "it says so too late"
            self._take(connection, session.handle_timeout(now=now + _INSTANT))
            connection.outgoing += session.take_outbox()
        if not connection.outgoing and connection.subscriber is not None:
            frame = self.relay.next_for(connection.subscriber)
            assert isinstance(frame, EncodedFrame)
            assert isinstance(session, GatewayViewerSession)
            session.send(frame, now=now)
            connection.outgoing += session.take_outbox()
        said = connection.outgoing.pop(0)
        if verb == "closes":
            assert isinstance(said, Close)
            assert said.code == int(rest)
        else:
            assert isinstance(said, str)
            assert _alike(json.loads(said), json.loads(rest))

    def _answer(self, connection: Connection, rest: str, now: float) -> None:
        organisation = _ORGANISATIONS.get(connection.key or "")
        access = connection.key != "plx_no_access"
        connection.key = None
        session = connection.session
        if organisation is None:
            code = CloseCode.UNAUTHORIZED if access else CloseCode.NO_API_ACCESS
            self._take(connection, session.refuse(code, now=now))
        elif isinstance(session, GatewayDeviceSession):
            session.grant(server_time_ms=json.loads(rest)["server_time_ms"], now=now)
            connection.publisher = self.relay.join(organisation, session.source_id)
        else:
            source_id, cameras = session.address.source_id, session.address.cameras
            session.grant(self.relay.online(organisation, source_id), now=now)
            connection.subscriber = self.relay.subscribe(organisation, source_id, cameras)

    def assert_nothing_is_left_unsaid(self) -> None:
        for name, connection in self.open.items():
            assert connection.key is None, name
            assert connection.outgoing + connection.session.take_outbox() == [], name
            assert connection.subscriber is None or connection.subscriber.waiting == 0, name


def _session(target: str, now: float) -> GatewayViewerSession | GatewayDeviceSession:
    if target == DEVICE_PATH:
        return GatewayDeviceSession(now=now)
    return GatewayViewerSession(StreamAddress.parse(target), now=now)


def _alike(said: dict[str, Any], due: dict[str, Any]) -> bool:
    return said.keys() == due.keys() and all(due[name] in ("*", said[name]) for name in due)


CONVERSATIONS = dict(_BLOCK.findall(specification_text()))


def test_text_has_conversations() -> None:
    assert len(CONVERSATIONS) == specification_text().count("```conversation") >= 8


@pytest.mark.parametrize("conversation", CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_gateway_in_a_conversation_of_the_text_says_what_the_text_says(conversation: str) -> None:
    stage = Stage()
    for line in conversation.splitlines():
        stage.play(line)
    stage.assert_nothing_is_left_unsaid()
