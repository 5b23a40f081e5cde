"""Handshakes as real clients send them, and handshakes that are none."""

from collections.abc import Iterator
from typing import Final

from attrs import evolve

from plexwire_conformance.cases.gateway.playing import in_lanes, leave, spread
from plexwire_conformance.run.case import Need, case
from plexwire_conformance.run.stage import Stage
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.stimuli.request_heads import (
    FOREIGN_ORIGINS,
    REQUEST_HEADS,
    RequestHead,
    broken,
    same_meaning,
)
from plexwire_conformance.wire.peer import HandshakeFailed, RawPeer

#: Which client's handshake is varied; its own is that of many browsers until today.
_VARIED: Final = "Firefox with keep-alive"
#: Variations that a run plays which is not thorough, and origins.
_VARIATIONS: Final = 8
_ORIGINS: Final = 4
_LANES: Final = 2


def _varied() -> RequestHead:
    return next(head for head in REQUEST_HEADS if head.name == _VARIED)


def _heads(stage: Stage) -> Iterator[tuple[str, RequestHead]]:
    """Yield what clients send, each with its name, in words that a finding can use."""
    for head in REQUEST_HEADS:
        yield head.name, head
    variations = same_meaning(_varied())
    for name, head in variations if stage.thorough else spread(variations, _VARIATIONS):
        yield f"a browser ({name})", head


def _without_origin(head: RequestHead) -> RequestHead:
    headers = tuple(one for one in head.headers if one[0].lower() != "origin")
    return evolve(head, headers=headers)


def _judge_offers(trial: Trial, peer: RawPeer, head: RequestHead, role: str) -> bool:
    """Judge that what the answer accepts was offered; return whether messages can be read as they come."""
    headers = peer.response.headers if peer.response is not None else {}
    sent = {name.lower(): value for name, value in head.headers}
    for name in ("sec-websocket-extensions", "sec-websocket-protocol"):
        offered = {one.partition(";")[0].strip() for one in sent.get(name, "").split(",")}
        accepted = [one.partition(";")[0].strip() for one in headers.get(name, "").split(",")]
        if any(one not in offered for one in filter(None, accepted)):
            observed = {"header": name, "value": headers[name]}
            trial.find("PW-CONN-4/extension-not-offered", {"role": role}, observed)
    # A message may be compressed then, which the judge does not unpack.
    return "sec-websocket-extensions" not in headers


@case(
    "handshake.viewers",
    "The handshakes of browsers and of the libraries that viewers use are accepted.",
    "PW-ADDR-1",
    "PW-ADDR-18",
    "PW-CONN-4",
    "PW-CONN-6",
    connections=1 + 2 * _LANES,
    least=2,
)
async def handshake_viewers(stage: Stage, trial: Trial) -> None:
    await leave((await stage.open_viewer()).peer)

    async def play(named: tuple[str, RequestHead]) -> None:
        client, head = named
        try:
            viewer = await stage.connect_viewer(head=head)
        except HandshakeFailed as error:
            await _judge_refusal(stage, trial, client, head, error)
            return
        is_readable = _judge_offers(trial, viewer.peer, head, "viewer")
        if is_readable and await stage.authenticate(viewer) is None:
            stage.check_room(viewer.peer)
            observed = {"ending": viewer.peer.outcome()}
            if head.has_origin and await _is_accepted(stage, _without_origin(head)):
                origin = {"origin": f"https://{stage.target.viewers.host_header}"}
                trial.find("PW-ADDR-18/not-accepted", origin, observed)
            else:
                trial.find("PW-ADDR-1/client-not-accepted", {"client": client}, observed)
        await leave(viewer.peer)

    await in_lanes(stage, tuple(_heads(stage)), max(min(_LANES, stage.connections // 2), 1), play)


async def _is_accepted(stage: Stage, head: RequestHead) -> bool:
    viewer = await stage.connect_viewer(head=head)
    accepted = await stage.authenticate(viewer) is not None
    await leave(viewer.peer)
    return accepted


async def _judge_refusal(
    stage: Stage, trial: Trial, client: str, head: RequestHead, error: HandshakeFailed
) -> None:
    observed = {"refusal": error.refusal}
    if head.has_origin:
        try:
            await leave((await stage.connect_viewer(head=_without_origin(head))).peer)
        except HandshakeFailed:
            pass
        else:
            origin = {"origin": f"https://{stage.target.viewers.host_header}"}
            trial.find("PW-ADDR-18/handshake-refused", origin, observed)
            return
    trial.find("PW-ADDR-1/client-refused", {"client": client}, observed)


@case(
    "handshake.origins",
    "A viewer may come from a page of any origin, of no site, and of no page at all.",
    "PW-ADDR-18",
    connections=2,
)
async def handshake_origins(stage: Stage, trial: Trial) -> None:
    await leave((await stage.open_viewer()).peer)
    for origin in FOREIGN_ORIGINS if stage.thorough else spread(FOREIGN_ORIGINS, _ORIGINS):
        try:
            viewer = await stage.connect_viewer(headers=(("Origin", origin),))
        except HandshakeFailed as error:
            await trial.refuse("PW-ADDR-18/handshake-refused", {"origin": origin}, error)
        if await stage.authenticate(viewer) is None:
            stage.check_room(viewer.peer)
            observed = {"ending": viewer.peer.outcome()}
            trial.find("PW-ADDR-18/not-accepted", {"origin": origin}, observed)
        await leave(viewer.peer)


@case(
    "handshake.devices",
    "The handshakes of the libraries that devices use are accepted.",
    "PW-ADDR-6",
    "PW-ADDR-7",
    "PW-CONN-4",
    needs=(Need.PUBLISHER,),
    connections=1 + 2 * _LANES,
    least=2,
)
async def handshake_devices(stage: Stage, trial: Trial) -> None:
    await stage.open_device(stage.source("twin"))

    async def play(named: tuple[str, RequestHead]) -> None:
        client, head = named
        try:
            device = await stage.connect_device(stage.source(), head=head)
        except HandshakeFailed as error:
            observed = {"refusal": error.refusal}
            try:
                await stage.connect_device(stage.source(), head=_without_origin(head))
            except HandshakeFailed:
                trial.find("PW-ADDR-6/client-refused", {"client": client}, observed)
            else:
                trial.find("PW-ADDR-7/handshake-refused", {}, observed)
            return
        _judge_offers(trial, device.peer, head, "device")
        await leave(device.peer)

    await in_lanes(stage, tuple(_heads(stage)), max(min(_LANES, stage.connections // 2), 1), play)


@case(
    "handshake.broken",
    "What becomes of handshakes that RFC 6455 calls invalid.",
    "PW-CONN-10",
    connections=1 + 2 * _LANES,
    least=2,
)
async def handshake_broken(stage: Stage, trial: Trial) -> None:
    await leave((await stage.open_viewer()).peer)
    heads = broken(_varied())
    upgraded: set[str] = set()

    async def play(named: tuple[str, RequestHead]) -> None:
        name, head = named
        try:
            viewer = await stage.connect_viewer(head=head, may_drop=True)
        except HandshakeFailed as error:
            if error.status == 101:
                upgraded.add(name)
        else:
            upgraded.add(name)
            await leave(viewer.peer)

    await in_lanes(stage, heads, max(min(_LANES, stage.connections // 2), 1), play)
    told = "; ".join(name for name, _ in heads if name in upgraded)
    if told:
        trial.chose("PW-CONN-10/broken-handshakes", outcomes={"upgraded": told})
