"""What the cases about vectors share: which vectors a run plays, in which order, and what is said of them.

A vector whose clause is MUST or SHOULD is judged.  What becomes of the others is told once per clause, and only where the
gateway decided differently from the specification.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final

import trio
from attrs import define, field, frozen

from plexwire_conformance.run.stage import Stage
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.wire.peer import RawPeer
from plexwire_spec import Level, Place, Play, Reaction, Vector, clauses, plays, vectors

#: Vectors that are not played: many gateways have a page of their own at the root.
_NOT_PLAYED: Final = ("address-path-root",)
#: Vectors that are named in one choice; the others are of the same kind.
_NAMED: Final = 4


@frozen(eq=False)
class Played:
    """One vector at one place, and what has to come of it."""

    vector: Vector
    play: Play

    @property
    def clause(self) -> str:
        """The clause that another reaction is about."""
        return self.play.clause

    @property
    def is_open(self) -> bool:
        """Whether another reaction is no fault."""
        return clauses()[self.clause].level in (Level.OPEN, Level.MAY)

    @property
    def stimulus(self) -> str:
        """What is sent, for a finding."""
        what = {
            Place.HANDSHAKE: "a viewer's handshake",
            Place.VIEWER_FIRST: "a viewer's first message",
            Place.VIEWER_LATER: "a viewer's message after init",
            Place.DEVICE_FIRST: "a device's first message",
            Place.DEVICE_LATER: "a device's message after authenticated",
        }[self.play.place]
        return f"{what}, as in the vector {self.vector.id}"


def at(place: Place, *reactions: Reaction) -> tuple[Played, ...]:
    """Return what can be played at *place* with one of *reactions* (any, without one), in the order of the vectors."""
    return tuple(
        Played(vector, play)
        for vector in vectors().values()
        if vector.id not in _NOT_PLAYED
        for play in plays(vector)
        if play.place is place and (not reactions or play.reaction in reactions)
    )


def cited(played: Iterable[Played]) -> tuple[str, ...]:
    """Return the clauses that *played* are about; a permission is nothing to judge."""
    named = dict.fromkeys(one.clause for one in played)
    return tuple(name for name in named if not clauses()[name].untestable)


def selected(
    stage: Stage, played: Sequence[Played], *, judged: int, open_: int
) -> tuple[Played, ...]:
    """Return what a run plays: everything in a thorough one, else so many per clause, spread over its vectors."""
    if stage.thorough:
        return tuple(played)
    kept: list[Played] = []
    for clause in dict.fromkeys(one.clause for one in played):
        of_clause = [one for one in played if one.clause == clause]
        most = open_ if of_clause[0].is_open else judged
        kept += spread(of_clause, most)
    return tuple(kept)


def spread(items: Sequence[Any], most: int) -> Sequence[Any]:
    """Return *most* of *items*, evenly spread from the first to the last; all if there are no more."""
    if len(items) <= most or not most:
        return items[:most]
    last = len(items) - 1
    return [items[place * last // max(most - 1, 1)] for place in range(most)]


#: Seconds, and round trips, after which no further vector is begun.
_PATIENCE: Final = 20.0
_THOROUGH_PATIENCE: Final = 100.0
_ROUND_TRIPS: Final = 50


def latest_begin(stage: Stage) -> float:
    """Return when no further vector is begun: a gateway that drops many frames keeps the case waiting for each."""
    patience = _THOROUGH_PATIENCE if stage.thorough else _PATIENCE
    return stage.now() + patience + _ROUND_TRIPS * stage.tolerances.round_trip


async def in_lanes(
    stage: Stage,
    items: Sequence[Any],
    lanes: int,
    play: Callable[[Any], Awaitable[None]],
    *,
    until: float | None = None,
) -> None:
    """Play *items*, so many at a time, each lane taking the next one, until `latest_begin` or *until* (seconds)."""
    rest = iter(items)
    end = latest_begin(stage) if until is None else until

    async def lane() -> None:
        for item in rest:
            if stage.now() > end:
                return
            await play(item)

    async with trio.open_nursery() as nursery:
        for _ in range(min(lanes, len(items))):
            nursery.start_soon(lane)


async def leave(peer: RawPeer) -> None:
    """Close *peer*, and wait for the answer, then no longer: a case has no more connections open than it says."""
    await peer.close()
    await peer.until_ended(_ANSWERED)
    if peer.ending is None:
        await peer.vanish()


#: Seconds in which a close is answered; if it is not, TCP ends.
_ANSWERED: Final = 0.5


@define(eq=False)
class Verdicts:
    """What is said of the vectors of one case."""

    trial: Trial
    _choices: dict[Played, str] = field(factory=dict[Played, str], init=False)

    def is_settled(self, one: Played) -> bool:
        """Whether the check of *one* failed already: one finding per check is enough."""
        return any(finding.check == _check(one) for finding in self.trial.findings)

    def differs(self, one: Played, wanted: str, did: Any, in_short: str) -> None:
        """Say that the gateway did something else than *wanted*: a finding, or a choice that is told in a few words."""
        if one.is_open:
            self._choices[one] = in_short
            return
        expected = {"vector": one.vector.id, "stimulus": one.stimulus, "wanted": wanted}
        self.trial.find(_check(one), expected, {"did": did})

    def tell_choices(self, played: Iterable[Played]) -> None:
        """Say, per clause, which of *played* the gateway treats differently from the specification."""
        by_clause: dict[str, dict[str, list[str]]] = {}
        for one in played:
            if one in self._choices and not clauses()[one.clause].untestable:
                outcomes = by_clause.setdefault(one.clause, {})
                outcomes.setdefault(self._choices[one], []).append(one.vector.id)
        for clause, outcomes in by_clause.items():
            told = {outcome: _few(ids) for outcome, ids in sorted(outcomes.items())}
            self.trial.chose(f"{clause}/vectors", outcomes=told)


def _check(one: Played) -> str:
    return f"{one.clause}/vector"


def _few(ids: Sequence[str]) -> str:
    more = " and others like them" if len(ids) > _NAMED else ""
    return ", ".join(ids[:_NAMED]) + more
