"""Property cases: scripts drawn at random, shrunk where they break something."""

from plexwire_conformance._case import case
from plexwire_conformance._trial import Trial
from plexwire_conformance.scripts import PROPERTIES, explore

_BUDGET = 4.0


def _register(property_id: str) -> None:
    property_ = PROPERTIES[property_id]

    async def body(trial: Trial) -> None:
        await explore(trial, property_, budget=_BUDGET)

    body.__doc__ = property_.title
    case(
        property_id,
        *property_.clauses,
        needs=tuple(property_.needs),
        takes=2 * _BUDGET,
        connections=6,
        scripted=True,
    )(body)


for _property_id in PROPERTIES:
    _register(_property_id)
