"""What viewers and devices owe alike, as WebSocket peers."""

import json
from functools import partial
from typing import Any, Final

from attrs import frozen

from plexwire_conformance.program.case import program_case
from plexwire_conformance.program.endurance import Strain, endure
from plexwire_conformance.program.served import Served, ServedViewer
from plexwire_conformance.program.stage import Play, ProgramStage
from plexwire_conformance.wire.framing import Opcode, encode_frame
from plexwire_conformance.wire.peer import ClosingKind
from plexwire_spec import Party

#: Seconds in which a close is answered.
_CLOSE_S: Final = 3.0
#: Codes of a gateway that goes away, failed, or asks to try again later.
_CODES: Final = (1001, 1011, 1013)
#: Bytes of a frame that come one by one.
_ALONE: Final = 24
#: A payload of each kind: none, text, bytes, and as many as a ping may have.
_PAYLOADS: Final = (b"", b"plexwire", b"\x00\xff\x80", b"p" * 125)


@frozen(kw_only=True)
class _Clauses:
    """The clauses of one role that say the same."""

    pongs: str
    fragments: str
    closes: str


_OF: Final = {
    Party.VIEWER: _Clauses(pongs="PW-CONN-8", fragments="PW-CONN-13", closes="PW-CONN-17"),
    Party.DEVICE: _Clauses(pongs="PW-CONN-9", fragments="PW-CONN-14", closes="PW-CONN-18"),
}


async def _begin(play: Play, role: Party) -> Served:
    return await (play.viewer() if role is Party.VIEWER else play.device())


def _harmless(served: Served) -> dict[str, Any]:
    """Return a message that the program may get at any time."""
    if isinstance(served, ServedViewer):
        return served.frame(size=2000)
    return {"type": "telemetry_ack", "seq": 1}


async def _pings(stage: ProgramStage, role: Party) -> None:
    async with stage.play() as play:
        served = await _begin(play, role)
        for payload in _PAYLOADS:
            if not await served.answers(payload):
                served.check_sound()
                observed = {"payload": payload.hex(), "ending": served.peer.outcome()}
                stage.find(f"{_OF[role].pongs}/no-pong", {}, observed)
                return
        # Of several in a row the last one is owed an answer, and no other.  (RFC 6455 section 5.5.3)
        for number in range(5):
            await served.peer.ping(b"row %d" % number)
        if not await served.answers(b"row end"):
            served.check_sound()
            observed = {"payload": b"row end".hex(), "ending": served.peer.outcome()}
            stage.find(f"{_OF[role].pongs}/no-pong", {}, observed)


async def _fragments(stage: ProgramStage, role: Party) -> None:
    async def in_pieces(served: Served) -> None:
        await served.say_in_pieces(_harmless(served), (1, 2, 2, 30))

    async def around_pings(served: Served) -> None:
        data = json.dumps(_harmless(served)).encode()
        ping = encode_frame(Opcode.PING, b"between", mask=None)
        parts = (
            encode_frame(Opcode.TEXT, data[:9], fin=False, mask=None),
            ping,
            encode_frame(Opcode.CONTINUATION, b"", fin=False, mask=None),
            ping,
            encode_frame(Opcode.CONTINUATION, data[9:], mask=None),
        )
        await served.peer.send_raw(b"".join(parts), "a message in three frames, pings between them")

    async def byte_by_byte(served: Served) -> None:
        text = json.dumps(_harmless(served)).encode()
        data = encode_frame(Opcode.TEXT, text, mask=None)
        # The head and the first bytes one by one, then the rest.
        for byte in data[:_ALONE]:
            await served.peer.send_raw(bytes((byte,)), "one byte of a frame")
        await served.peer.send_raw(data[_ALONE:], "the rest of it")

    strains = [
        Strain("a message in five frames", in_pieces),
        Strain("a message in three frames with pings between them", around_pings),
        Strain("a frame that comes one byte at a time", byte_by_byte),
    ]
    await endure(stage, f"{_OF[role].fragments}/left", strains, partial(_begin, role=role))


async def _closes(stage: ProgramStage, role: Party) -> None:
    for code in _CODES:
        async with stage.play() as play:
            served = await _begin(play, role)
            began = stage.now()
            await served.peer.close(code)
            ending = await served.peer.until_ended(_CLOSE_S, exactly=True)
            served.check_sound()
            if ending.kind is not ClosingKind.CLOSE_FRAME:
                observed = {"ending": served.peer.outcome(since=began), "code": code}
                stage.find(f"{_OF[role].closes}/no-answer", {"within": _CLOSE_S}, observed)
                return


for _role, _clauses in _OF.items():
    program_case(
        f"{_role}.pings",
        "A ping is answered by a pong with the same payload.",
        _clauses.pongs,
        takes=1.0,
    )(partial(_pings, role=_role))
    program_case(
        f"{_role}.fragments",
        "A message is understood however it is split.",
        _clauses.fragments,
        takes=3.0,
    )(partial(_fragments, role=_role))
    program_case(
        f"{_role}.close", "A close frame is answered by a close frame.", _clauses.closes, takes=1.0
    )(partial(_closes, role=_role))
