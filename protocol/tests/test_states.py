"""The tables: complete, consistent, and cited from clauses that exist."""

import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from attrs import evolve

import plexwire_protocol
from plexwire_protocol import Auth, Close, Init, Message, Role, State
from plexwire_protocol.strategies import VOCABULARY
from plexwire_protocol.tables import (
    DEVICE_CONVERSATION,
    VIEWER_CONVERSATION,
    ConversationTable,
    Deadline,
    Edge,
    Trigger,
    render_mermaid,
)
from plexwire_spec import clauses

BOTH = (VIEWER_CONVERSATION, DEVICE_CONVERSATION)
both = pytest.mark.parametrize("conversation", BOTH, ids=lambda conversation: conversation.name)

MESSAGES = tuple(dict.fromkeys(kind for kinds in VOCABULARY.values() for kind in kinds))
TRIGGERS: tuple[Trigger, ...] = (*MESSAGES, *Deadline, Close)


def parties(conversation: ConversationTable) -> set[Role]:
    return {Role.GATEWAY, Role(conversation.name)}


# ── every case there is ──────────────────────────────────────────────────────────────────────


@both
def test_table_has_one_answer_for_every_case(conversation: ConversationTable) -> None:
    for case in product(State, Role, TRIGGERS):
        state, sender, trigger = case
        rows = [e for e in conversation.edges if (e.source, e.sender, e.trigger) == case]

        edge = conversation.edge(state, sender, trigger)

        assert rows == ([edge] if edge else [])
        assert not edge or sender in parties(conversation)
        assert not edge or conversation.knows(sender, trigger)


@both
def test_table_knows_exactly_what_is_legal_in_some_state(conversation: ConversationTable) -> None:
    for sender, trigger in product(Role, TRIGGERS):
        legal = [state for state in State if conversation.edge(state, sender, trigger)]

        assert conversation.knows(sender, trigger) is bool(legal)


@both
def test_closed_is_the_end_and_everything_leads_there(conversation: ConversationTable) -> None:
    assert not [edge for edge in conversation.edges if edge.source is State.CLOSED]
    for state, party in product(set(State) - {State.CLOSED}, parties(conversation)):
        edge = conversation.edge(state, party, Close)
        assert edge is not None
        assert edge.target is State.CLOSED


@both
def test_every_state_can_be_reached(conversation: ConversationTable) -> None:
    reached = {State.AWAITING_AUTH}
    for _ in State:
        reached |= {edge.target for edge in conversation.edges if edge.source in reached}

    assert reached == set(State)


@both
def test_every_timer_is_an_edge_and_every_deadline_of_the_edges_has_its_timer(
    conversation: ConversationTable,
) -> None:
    timers = {(t.state, t.owner, t.deadline): t for t in conversation.timers}
    falling_due = {
        (e.source, e.sender, e.trigger): e
        for e in conversation.edges
        if isinstance(e.trigger, Deadline)
    }

    assert timers.keys() == falling_due.keys()
    assert len(timers) == len(conversation.timers)
    for case, timer in timers.items():
        assert timer.clause == falling_due[case].clause
        assert (timer.code is not None) is (falling_due[case].target is State.CLOSED)


@both
@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("owner", Role)
def test_each_end_has_at_most_one_timer_in_a_state(
    conversation: ConversationTable, state: State, owner: Role
) -> None:
    timers = conversation.timers_of(state, owner)

    assert len(timers) <= 1
    assert all((t.state, t.owner) == (state, owner) for t in timers)


def test_every_message_of_the_vocabulary_has_a_place_in_a_table() -> None:
    for role, kinds in VOCABULARY.items():
        for kind in kinds:
            assert any(conversation.knows(role, kind) for conversation in BOTH)


def test_row_that_stands_twice_is_refused() -> None:
    first = VIEWER_CONVERSATION.edges[0]
    twin = evolve(first, target=State.CLOSED, clause="PW-AUTH-5")

    with pytest.raises(ValueError, match="two edges for the same case"):
        ConversationTable("twice", (first, twin), ())


# ── diagrams ─────────────────────────────────────────────────────────────────────────────────


@both
def test_diagram_shows_each_edge_once_in_the_order_of_the_table(
    conversation: ConversationTable,
) -> None:
    head, start, *drawn, end, rest = render_mermaid(conversation).split("\n")

    assert (head, start) == ("stateDiagram-v2", "    [*] --> AWAITING_AUTH")
    assert (end, rest) == ("    CLOSED --> [*]", "")
    assert len(set(drawn)) == len(drawn)
    for line, edge in zip(drawn, conversation.edges, strict=True):
        assert line.startswith(f"    {edge.source.name} --> {edge.target.name}: ")
        assert line.endswith(f" [{edge.clause}]")
        assert edge.sender.value in line
        assert (", tolerated [" in line) is edge.tolerated


def test_diagram_names_messages_deadlines_and_closes_by_their_words() -> None:
    edges = (
        Edge(State.AWAITING_AUTH, Role.VIEWER, Auth, State.CHECKING_KEY, "PW-AUTH-1"),
        Edge(State.AWAITING_AUTH, Role.GATEWAY, Deadline.AUTH, State.CLOSED, "PW-AUTH-3"),
        Edge(State.CHECKING_KEY, Role.VIEWER, Close, State.CLOSED, "PW-CONN-3"),
        Edge(State.CHECKING_KEY, Role.GATEWAY, Init, State.CLOSED, "PW-VIEW-5", tolerated=True),
    )

    assert render_mermaid(ConversationTable("small", edges, ())) == (
        "stateDiagram-v2\n"
        "    [*] --> AWAITING_AUTH\n"
        "    AWAITING_AUTH --> CHECKING_KEY: viewer auth [PW-AUTH-1]\n"
        "    AWAITING_AUTH --> CLOSED: gateway auth deadline [PW-AUTH-3]\n"
        "    CHECKING_KEY --> CLOSED: viewer close [PW-CONN-3]\n"
        "    CHECKING_KEY --> CLOSED: gateway init, tolerated [PW-VIEW-5]\n"
        "    CLOSED --> [*]\n"
    )


# ── clauses ──────────────────────────────────────────────────────────────────────────────────


def citations() -> Iterator[tuple[str, str]]:
    core = Path(plexwire_protocol.__file__).parent
    for path in sorted((*core.glob("*.py"), *Path(__file__).parent.glob("*.py"))):
        for clause in re.findall(r"PW-[A-Z]+-[0-9]+", path.read_text("utf-8")):
            yield path.name, clause


def test_every_clause_that_the_core_cites_exists() -> None:
    cited = set(citations())

    assert {clause for _, clause in cited} >= {"PW-AUTH-1", "PW-BIN-1"}
    assert [(name, clause) for name, clause in sorted(cited) if clause not in clauses()] == []


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_every_message_names_its_clause(kind: type[Message]) -> None:
    assert kind.clause in clauses()
