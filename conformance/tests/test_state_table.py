"""The judge's own table of states says the same as the core's: neither can drift away unnoticed."""

import pytest

from plexwire_conformance.cases.gateway.state_table import (
    ROWS,
    STIMULI,
    Conversation,
    Moment,
    Pending,
    Row,
)
from plexwire_conformance.wire.framing import Opcode
from plexwire_protocol import Message, Role, State
from plexwire_protocol.tables import (
    DEVICE_CONVERSATION,
    VIEWER_CONVERSATION,
    ConversationTable,
    Deadline,
)

TABLES = {
    Conversation.VIEWER: (VIEWER_CONVERSATION, Role.VIEWER),
    Conversation.DEVICE: (DEVICE_CONVERSATION, Role.DEVICE),
}
STATES = {
    Moment.AWAITING_AUTH: State.AWAITING_AUTH,
    Moment.CHECKING_KEY: State.CHECKING_KEY,
    Moment.STREAMING: State.STREAMING,
}
PENDING = {Pending.AUTH: Deadline.AUTH, Pending.TIMEOUT: Deadline.TIMEOUT}


def sendable(table: ConversationTable, state: State, role: Role) -> set[str]:
    """Return the types of the messages that *role* may send in *state*."""
    return {
        edge.trigger.type
        for edge in table.edges
        if edge.source is state
        and edge.sender is role
        and isinstance(edge.trigger, type)
        and issubclass(edge.trigger, Message)
    }


@pytest.mark.parametrize(
    "row", ROWS, ids=lambda row: f"{row.conversation.value} {row.moment.value}"
)
def test_row_says_what_the_core_says(row: Row) -> None:
    table, role = TABLES[row.conversation]
    state = STATES[row.moment]
    assert sendable(table, state, role) == row.may_send
    pending = {timer.deadline for timer in table.timers_of(state, Role.GATEWAY)}
    assert pending == ({PENDING[row.pending]} if row.pending else set())


def test_every_open_state_of_both_conversations_has_a_row() -> None:
    rows = [(row.conversation, row.moment) for row in ROWS]
    assert len(rows) == len(set(rows))
    assert set(rows) == {(who, moment) for who in Conversation for moment in Moment}
    assert set(STATES.values()) == {state for state in State if state is not State.CLOSED}


def test_stimuli_have_every_opcode_but_close_and_a_message_of_every_type() -> None:
    opcodes = {opcode for one in STIMULI.values() for opcode, _, _ in one.frames}
    assert opcodes == set(Opcode) - {Opcode.CLOSE}
    said = b"".join(payload for one in STIMULI.values() for _, payload, _ in one.frames).decode()
    for row in ROWS:
        for type_ in row.may_send - {"video_frame"}:
            assert f'"{type_}"' in said


@pytest.mark.parametrize("name", [name for name, one in STIMULI.items() if not one.harmless])
def test_stimulus_that_may_end_a_stream_is_one_message(name: str) -> None:
    frames = STIMULI[name].frames
    data = [(opcode, fin) for opcode, _, fin in frames if opcode < Opcode.CLOSE]
    assert [fin for _, fin in data] == [False] * (len(data) - 1) + [True]
