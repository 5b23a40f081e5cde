"""Property cases: scripts drawn at random, shrunk where they break something."""

from plexwire_conformance.run.case import case
from plexwire_conformance.run.stage import Stage
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.scripts import MOST_CONCURRENT, PROPERTIES, explore

#: Seconds to look for a script that breaks something, and to shorten it.
_LOOK_S, _SHRINK_S = 4.0, 6.0
#: So many times as long a thorough run looks, and so many scripts it draws.
_THOROUGH = 20
_EXAMPLES = 200


def _register(property_id: str) -> None:
    property_ = PROPERTIES[property_id]

    async def body(stage: Stage, trial: Trial) -> None:
        times = _THOROUGH if stage.thorough else 1
        await explore(
            trial,
            property_,
            examples=times * _EXAMPLES,
            look_s=times * _LOOK_S,
            shrink_s=_SHRINK_S,
        )

    case(
        property_id,
        property_.title,
        *property_.clauses,
        needs=tuple(property_.needs),
        takes=_LOOK_S + _SHRINK_S,
        connections=MOST_CONCURRENT * property_.connections,
        least=property_.connections,
        scripted=True,
    )(body)


for _property_id in PROPERTIES:
    _register(_property_id)
