"""The register of faults: what it refuses, that ids are for ever, and that every promise is broken by one."""

import re
from inspect import isfunction
from itertools import pairwise
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from plexwire_conformance.faults import (
    FAULTS,
    PROGRAM_FAULTS,
    RETIRED,
    Fault,
    FaultyGateway,
    InvalidFault,
    fault,
)
from plexwire_conformance.faults._wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    ClientFrame,
    FrameWire,
    Wire,
    encode_frame,
    payload_of,
)
from plexwire_server import Gateway
from plexwire_server.extending import HOOKS, ViewerConnection
from plexwire_spec import Clause, Level, Party, clauses

#: Every id that was ever published, one a line.  Lines are added here and never taken away.
PINNED = Path(__file__).with_name("fault-ids.txt").read_text("utf-8").split()

EVERY_FAULT = pytest.mark.parametrize("one", list(FAULTS.values()), ids=list(FAULTS))


# ── the register ─────────────────────────────────────────────────────────────────────────────


class Part(ViewerConnection):
    pass


@pytest.mark.parametrize(
    ("fault_id", "broken", "title", "sentence"),
    [
        (
            "init.never",
            ("PW-INIT-1",),
            "A title.",
            "init.never is taken; ids are never reused, choose another",
        ),
        (
            "init.new",
            ("PW-INIT-1", "PW-NONE-1"),
            "A title.",
            "init.new breaks PW-NONE-1; see clauses.toml",
        ),
        (
            "init.new",
            ("PW-INIT-1",),
            "",
            "init.new has no title; say in one sentence what is wrong",
        ),
    ],
)
def test_decorator_is_used_wrongly_and_says_what_to_do_and_registers_nothing(
    fault_id: str, broken: tuple[str, ...], title: str, sentence: str
) -> None:
    before = dict(FAULTS)
    with pytest.raises(InvalidFault) as caught:
        fault(fault_id, title, broken[0], also=broken[1:])(Part)
    assert str(caught.value) == sentence
    assert dict(FAULTS) == before


@EVERY_FAULT
def test_fault_has_a_well_formed_id_and_a_title_of_one_sentence(one: Fault) -> None:
    assert re.fullmatch(r"[a-z]+\.[a-z0-9]+(-[a-z0-9]+)*", one.id)
    assert one.title[0].isupper()
    assert one.title.endswith(".")


@EVERY_FAULT
def test_fault_breaks_clauses_that_bind_the_gateway_and_can_be_found(one: Fault) -> None:
    assert one.clause not in one.also
    for name in (one.clause, *one.also):
        clause = clauses()[name]
        assert clause.role is Party.GATEWAY
        assert clause.level in (Level.MUST, Level.SHOULD)
        assert not clause.untestable


@EVERY_FAULT
def test_fault_is_built_afresh_each_time_with_keys_of_its_own(one: Fault) -> None:
    first, second = one.build(), one.build()
    assert first is not second
    assert first.given.api_key != second.given.api_key


@EVERY_FAULT
def test_fault_differs_from_the_reference_gateway_in_its_parts_alone(one: Fault) -> None:
    reference, gateway = FaultyGateway(), one.build()
    if type(gateway) is FaultyGateway:
        kinds = ("connection", "peer", "rules")
        parts = [f"{role}_{kind}" for role in ("viewer", "device") for kind in kinds]
        changed = [n for n in (*parts, "wire") if getattr(gateway, n) is not getattr(reference, n)]
        assert len(changed) == 1


@EVERY_FAULT
def test_fault_overrides_only_what_a_subclass_may(one: Fault) -> None:
    gateway = one.build()
    for part in (
        type(gateway),
        gateway.viewer_connection,
        gateway.device_connection,
        gateway.viewer_peer,
        gateway.device_peer,
    ):
        for base in HOOKS:
            inside = (cls for cls in part.__mro__ if issubclass(cls, base) and cls not in HOOKS)
            methods = {name for name, value in vars(base).items() if isfunction(value)}
            for cls in inside:
                overridden = {name for name in methods & vars(cls).keys() if name != "__init__"}
                assert overridden <= HOOKS[base], cls


@pytest.mark.parametrize("fault_id", PINNED)
def test_fault_that_was_published_is_still_there(fault_id: str) -> None:
    known = {*FAULTS, *PROGRAM_FAULTS, *RETIRED}
    assert fault_id in known, f"{fault_id} is gone; ids are for ever: bring the fault back"


@pytest.mark.parametrize("fault_id", RETIRED)
def test_fault_that_is_retired_is_not_declared_again(fault_id: str) -> None:
    assert fault_id in PINNED
    assert fault_id not in FAULTS
    with pytest.raises(InvalidFault, match="ids are never reused"):
        fault(fault_id, "A title.", "PW-INIT-1")(Part)


def test_every_fault_is_pinned() -> None:
    new = sorted({*FAULTS, *PROGRAM_FAULTS} - set(PINNED))
    assert not new, f"add to {Path(__file__).with_name('fault-ids.txt').name}: {' '.join(new)}"
    assert len(set(PINNED)) == len(PINNED)


PROMISES = [
    clause
    for clause in clauses().values()
    if clause.role is Party.GATEWAY and clause.level is Level.MUST and not clause.untestable
]


@pytest.mark.parametrize("clause", PROMISES, ids=[clause.id for clause in PROMISES])
def test_every_promise_of_a_gateway_is_broken_by_a_fault_of_its_own(clause: Clause) -> None:
    assert any(one.clause == clause.id for one in FAULTS.values())


def test_every_advice_to_a_gateway_is_not_taken_by_a_fault() -> None:
    broken = {name for one in FAULTS.values() for name in (one.clause, *one.also)}
    advice = {
        clause.id
        for clause in clauses().values()
        if clause.role is Party.GATEWAY and clause.level is Level.SHOULD and not clause.untestable
    }
    assert advice <= broken


OTHERS = [
    clause
    for clause in clauses().values()
    if clause.role is not Party.GATEWAY and not clause.untestable
]


@pytest.mark.parametrize("clause", OTHERS, ids=[clause.id for clause in OTHERS])
def test_every_clause_of_a_viewer_or_a_device_is_broken_by_a_fault_of_its_own(
    clause: Clause,
) -> None:
    assert any(one.clause == clause.id for one in PROGRAM_FAULTS.values())


# ── the wire ─────────────────────────────────────────────────────────────────────────────────

HEAD = b"GET / HTTP/1.1\r\nHost: gateway.test\r\n\r\n"

opcodes = st.sampled_from((CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG))
payloads = st.binary(max_size=200) | st.sampled_from((125, 126, 65_535, 65_536)).map(bytes)
frames = st.builds(ClientFrame, opcodes, st.booleans(), payloads)


def masked(frame: ClientFrame, mask: bytes) -> bytes:
    """Return *frame* as a peer with this mask sends it."""
    plain = frame.encode()
    start = len(plain) - len(frame.payload)
    body = bytes(byte ^ mask[at % 4] for at, byte in enumerate(frame.payload))
    return plain[: start - 4] + mask + body


class Listening(FrameWire):
    """Remembers what it heard."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        super().__init__(stream)
        self.heard: list[ClientFrame] = []

    def hears_frame(self, frame: ClientFrame) -> bytes:
        self.heard.append(frame)
        return super().hears_frame(frame)


@given(
    st.lists(st.tuples(frames, st.binary(min_size=4, max_size=4)), max_size=4),
    st.lists(st.integers(0, 500), max_size=5),
)
def test_wire_hears_every_frame_however_the_bytes_are_cut(
    sent: list[tuple[ClientFrame, bytes]], cuts: list[int]
) -> None:
    data = HEAD + b"".join(masked(frame, mask) for frame, mask in sent)
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    near, _ = trio.testing.memory_stream_pair()
    wire = Listening(near)
    handed_on = b"".join(wire.hears(data[start:end]) for start, end in pairwise(edges))
    assert wire.heard == [frame for frame, _ in sent]
    assert handed_on == HEAD + b"".join(frame.encode() for frame, _ in sent)


@given(opcodes, payloads)
def test_wire_finds_the_payload_of_a_frame_of_the_gateway(opcode: int, payload: bytes) -> None:
    assert payload_of(encode_frame(opcode, payload)) == payload


async def test_wire_without_a_fault_changes_nothing() -> None:
    near, far = trio.testing.memory_stream_pair()
    wire = Wire(near)
    for data in (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", encode_frame(TEXT, b"{}"), b""):
        await wire.send_all(data)
        assert bytes(await far.receive_some()) == data if data else True
    await far.send_all(HEAD)
    assert await wire.receive_some() == HEAD
    await wire.send_eof()
    assert await far.receive_some() == b""
    await far.aclose()
    assert await wire.receive_some() == b""


def test_gateway_without_a_fault_is_the_reference_gateway() -> None:
    overridden = {name for name in vars(FaultyGateway) if callable(getattr(Gateway, name, None))}
    # Its peers only let everything pass through sessions, which may be faulty.
    peers = {"viewer_peer", "device_peer"}
    own = {"__init__", "__doc__", "viewer_session", "device_session", "serve_stream"}
    assert overridden <= own | peers
