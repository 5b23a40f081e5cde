"""Both ends of a conversation, joined by a link on which messages take their time, under one clock.

Either end may say, close, wake late or be woken early whenever it likes; messages of both directions cross on the way;
the link may break.  Whatever happens, the two must agree in the end.
"""

import copy
from collections import deque
from collections.abc import Callable
from functools import partial
from math import inf
from typing import ClassVar

import pytest
from attrs import define, evolve, field
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from plexwire_protocol import (
    AnswerMissing,
    Auth,
    Authenticated,
    AuthReceived,
    AuthViolation,
    Close,
    CloseCode,
    ConversationClosed,
    DeviceAuth,
    DeviceSession,
    EncodedFrame,
    ErrorReport,
    Event,
    GatewayDeviceSession,
    GatewayReconnecting,
    GatewayViewerSession,
    Heartbeat,
    Init,
    LocalProtocolError,
    Message,
    MessageIgnored,
    MessageReceived,
    Outgoing,
    PeerViolated,
    Role,
    Session,
    State,
    StreamAddress,
    VideoFrame,
    ViewerSession,
    decode,
)
from plexwire_protocol.tables import (
    DEVICE_CONVERSATION,
    VIEWER_CONVERSATION,
    ConversationTable,
    Deadline,
)

FRAME = VideoFrame(camera_id="front", jpeg=b"\xff\xd8", width=640, height=480, timestamp=0)
#: Frames to tell apart, some in binary form, some in text.
FRAMES = [evolve(FRAME, timestamp=n, extra={"n": n} if n % 3 == 0 else {}) for n in range(100)]
some_frames = st.lists(st.sampled_from(FRAMES), min_size=1, max_size=3)


@define
class End:
    """One session with its embedder: what is on its way to it, what it sent, and what it told."""

    role: Role
    session: Session
    inbox: deque[Outgoing] = field(factory=deque)
    sent: list[Outgoing] = field(factory=list)
    heard: list[Message] = field(factory=list)
    is_over: bool = False
    entered: float = 0.0


def facts(session: Session) -> tuple[State, float, list[Outgoing]]:
    """Return all that shows of *session*; its outbox is looked at in a copy."""
    return session.state, session.next_deadline(), copy.deepcopy(session).take_outbox()


either = st.integers(0, 1)


class JoinedEnds(RuleBasedStateMachine):
    """What holds for both conversations; a subclass connects the ends and lets them speak."""

    conversation: ClassVar[ConversationTable]
    ends: tuple[End, End]
    timeout: float | None = None
    now = 0.0
    #: Calls until somebody may close or the link may break, lest every conversation end young.
    peace = 0

    # ── the embedders ────────────────────────────────────────────────────────────────────────

    def do(self, end: End, call: Callable[[], list[Event] | None]) -> list[Event]:
        """Let the embedder of *end* make *call*."""
        self.peace -= 1
        before = end.session.state
        events = call() or []
        for event in events:
            self.check(end, event)
        if end.session.state is not before:
            end.entered = self.now
        return events

    def check(self, end: End, event: Event) -> None:
        """Neither end breaks a rule in the eyes of the other, and each is told of the end once and last."""
        assert not end.is_over
        match event:
            case AuthReceived(message) | MessageReceived(message) | MessageIgnored(message):
                self.check_message(end, message)
                assert not isinstance(event, MessageIgnored) or isinstance(message, Heartbeat)
            case PeerViolated(error):
                assert isinstance(error, AuthViolation | AnswerMissing)
            case ConversationClosed():
                end.is_over = True
            case _:
                pytest.fail(f"{event} between friends")

    def check_message(self, end: End, message: Message) -> None:
        """Each hears what the other sent, in order, and nothing else."""
        peer = self.peer_of(end)
        item = peer.sent[len(end.heard)]
        assert not isinstance(item, Close)
        assert message == self.relabelled(decode(item, sender=peer.role))
        end.heard.append(message)

    def relabelled(self, message: Message) -> Message:
        """Return *message* as the gateway tells of it."""
        return message

    def say(self, end: End, kind: type[Message], call: Callable[[], None]) -> None:
        """Let *end* say *kind* by *call* if the table allows it; else see that nothing changes."""
        edge = self.conversation.edge(end.session.state, end.role, kind)
        if edge and not edge.tolerated:
            self.do(end, call)
            return
        before = facts(end.session)
        if end.session.state is State.CLOSED and kind in (Init, Authenticated):
            call()  # the answer to a peer that has left meanwhile
            assert facts(end.session) == before
            return
        with pytest.raises(LocalProtocolError):
            call()
        assert facts(end.session) == before

    def flush(self, end: End) -> None:
        for item in end.session.take_outbox():
            assert not any(isinstance(sent, Close) for sent in end.sent), "after a close"
            end.sent.append(item)
            self.peer_of(end).inbox.append(item)

    def deliver(self, end: End) -> None:
        session = end.session
        match end.inbox.popleft():
            case Close(code, reason):
                self.do(end, lambda: session.receive_close(code, reason, now=self.now))
            case data:
                self.do(end, lambda: session.receive(data, now=self.now))
        assert session.next_deadline() > self.now

    def peer_of(self, end: End) -> End:
        return self.ends[end is self.ends[0]]

    @rule(which=either)
    def one_sends_its_outbox(self, which: int) -> None:
        self.flush(self.ends[which])

    @rule(which=either, count=st.integers(1, 4))
    def messages_arrive(self, which: int, count: int) -> None:
        inbox = self.ends[which].inbox
        for _ in range(min(count, len(inbox))):
            self.deliver(self.ends[which])

    @rule(which=either)
    def one_is_woken(self, which: int) -> None:
        end = self.ends[which]
        before = facts(end.session)
        is_early = self.now < end.session.next_deadline()

        events = self.do(end, lambda: end.session.handle_timeout(now=self.now))

        if is_early:
            assert events == []
            assert facts(end.session) == before
        assert end.session.next_deadline() > self.now

    @precondition(lambda self: self.peace <= 0)
    @rule(which=either, code=st.sampled_from(CloseCode), reason=st.text(max_size=200))
    def one_closes(self, which: int, code: CloseCode, reason: str) -> None:
        end = self.ends[which]
        self.do(end, lambda: end.session.close(code, reason, now=self.now))

    # ── time and the link ────────────────────────────────────────────────────────────────────

    @rule(seconds=st.sampled_from((0.001, 1.0, 9.0)))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.soonest() < inf)
    @rule()
    def time_passes_to_the_next_deadline(self) -> None:
        self.now = max(self.now, self.soonest())

    def soonest(self) -> float:
        return min(end.session.next_deadline() for end in self.ends)

    @rule()
    def everything_arrives(self) -> None:
        while any(self.waiting()):
            for end in self.ends:
                if end.inbox:
                    self.deliver(end)

        here, there = self.ends
        assert here.session.state is there.session.state
        for end in self.ends:
            if end.session.state is not State.CLOSED:
                assert len(end.heard) == len(self.peer_of(end).sent)

    def waiting(self) -> list[int]:
        for end in self.ends:
            self.flush(end)
        return [len(end.inbox) for end in self.ends]

    @precondition(lambda self: self.peace <= 0)
    @rule()
    def link_breaks(self) -> None:
        for end in self.ends:
            end.inbox.clear()
            self.do(end, partial(end.session.receive_close, CloseCode.ABNORMAL, now=self.now))
            end.session.take_outbox()

    def teardown(self) -> None:
        if hasattr(self, "ends"):
            self.everything_arrives()

    # ── what always holds ────────────────────────────────────────────────────────────────────

    @invariant()
    def conversation_is_over_exactly_when_it_is_closed(self) -> None:
        for end in self.ends:
            assert end.is_over is (end.session.state is State.CLOSED)

    @invariant()
    def deadline_is_armed_exactly_while_one_is_due(self) -> None:
        for end in self.ends:
            deadline = end.session.next_deadline()
            armed = [
                (timer, seconds)
                for timer in self.conversation.timers_of(end.session.state, end.role)
                if (seconds := timer.seconds or self.timeout) is not None
            ]
            if not armed:
                assert deadline == inf
            for timer, seconds in armed:
                if timer.deadline is Deadline.HEARTBEAT:
                    assert end.entered + seconds <= deadline <= self.now + seconds
                else:
                    assert deadline == end.entered + seconds


class ViewerConversation(JoinedEnds):
    """A viewer and the gateway."""

    conversation = VIEWER_CONVERSATION

    @initialize(
        peace=st.integers(0, 50), streaming=st.booleans(), timeout=st.none() | st.integers(1, 20)
    )
    def connect(self, peace: int, streaming: bool, timeout: int | None) -> None:
        self.peace, self.timeout = peace, timeout
        address = StreamAddress(source_id="drone-01", timeout=timeout)
        self.viewer = ViewerSession(now=self.now)
        self.gateway = GatewayViewerSession(address, now=self.now)
        self.ends = (End(Role.VIEWER, self.viewer), End(Role.GATEWAY, self.gateway))
        if streaming:
            self.viewer_sends_its_auth()
            self.everything_arrives()
            self.gateway_grants()

    @rule()
    def viewer_sends_its_auth(self) -> None:
        auth = Auth(api_key="plx_1")
        self.say(self.ends[0], Auth, lambda: self.viewer.send(auth, now=self.now))

    @rule()
    def gateway_grants(self) -> None:
        self.say(self.ends[1], Init, lambda: self.gateway.grant([], now=self.now))

    @precondition(lambda self: self.gateway.state is State.CHECKING_KEY)
    @rule(code=st.sampled_from((CloseCode.UNAUTHORIZED, CloseCode.NO_API_ACCESS)))
    def gateway_refuses(self, code: CloseCode) -> None:
        self.do(self.ends[1], lambda: self.gateway.refuse(code, now=self.now))

    @rule(frames=some_frames, encoded=st.booleans())
    def gateway_sends_frames(self, frames: list[VideoFrame], encoded: bool) -> None:
        for frame in frames:
            message = EncodedFrame.of(frame) if encoded else frame
            self.say(self.ends[1], VideoFrame, partial(self.gateway.send, message, now=self.now))

    @rule(attempt=st.integers(1, 5))
    def gateway_tells_that_it_reconnects(self, attempt: int) -> None:
        word = GatewayReconnecting(attempt=attempt, max_attempts=5, delay_s=2)
        self.say(self.ends[1], GatewayReconnecting, lambda: self.gateway.send(word, now=self.now))


class DeviceConversation(JoinedEnds):
    """A device and the gateway."""

    conversation = DEVICE_CONVERSATION

    @initialize(peace=st.integers(0, 50), streaming=st.booleans())
    def connect(self, peace: int, streaming: bool) -> None:
        self.peace = peace
        self.device = DeviceSession(now=self.now)
        self.gateway = GatewayDeviceSession(now=self.now)
        self.ends = (End(Role.DEVICE, self.device), End(Role.GATEWAY, self.gateway))
        if streaming:
            self.device_sends_its_auth()
            self.everything_arrives()
            self.gateway_grants()

    def relabelled(self, message: Message) -> Message:
        if isinstance(message, VideoFrame):
            return evolve(message, source_id="drone-01")
        return message

    @rule()
    def device_sends_its_auth(self) -> None:
        auth = DeviceAuth(api_key="plx_1", source_id="drone-01")
        self.say(self.ends[0], DeviceAuth, lambda: self.device.send(auth, now=self.now))

    @rule(frames=some_frames)
    def device_sends_frames(self, frames: list[VideoFrame]) -> None:
        for frame in frames:
            self.say(self.ends[0], VideoFrame, partial(self.device.send, frame, now=self.now))

    @rule()
    def gateway_grants(self) -> None:
        self.say(
            self.ends[1],
            Authenticated,
            lambda: self.gateway.grant(server_time_ms=0, now=self.now),
        )

    @precondition(lambda self: self.gateway.state is State.CHECKING_KEY)
    @rule(code=st.sampled_from((CloseCode.UNAUTHORIZED, CloseCode.INTERNAL_ERROR)))
    def gateway_refuses(self, code: CloseCode) -> None:
        self.do(self.ends[1], lambda: self.gateway.refuse(code, now=self.now))

    @precondition(lambda self: self.gateway.state is State.STREAMING)
    @rule()
    def gateway_reports_an_error(self) -> None:
        error = ErrorReport(code="rate_limited")
        self.do(self.ends[1], lambda: self.gateway.report(error, now=self.now))


TestViewerConversation = ViewerConversation.TestCase
TestViewerConversation.settings = settings(max_examples=2 * settings().max_examples)
TestDeviceConversation = DeviceConversation.TestCase
TestDeviceConversation.settings = settings(max_examples=2 * settings().max_examples)
