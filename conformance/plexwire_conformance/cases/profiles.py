"""How much a run judges: three profiles, and what the part of a run leaves out."""

import shlex
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from attrs import frozen

from plexwire_conformance.cases import CASES
from plexwire_conformance.run.case import AnyCase
from plexwire_conformance.run.events import WHOLE, Part
from plexwire_spec import clauses


@frozen(kw_only=True)
class Profile:
    """How long a run may take: the cases it has by the seconds that they wait, and whether they send everything they can."""

    name: str
    #: About how many seconds a run takes on loopback.
    seconds: int
    #: What it judges, as the command's help says it.
    judges: str
    #: Seconds that a case of it waits by design at most.
    longest: float | None = None
    thorough: bool = False

    def has(self, case: AnyCase) -> bool:
        """Whether *case* belongs to it."""
        return self.longest is None or case.takes <= self.longest


_LONGEST_QUICK: Final = 2.0

_PROFILES: Final = (
    Profile(
        name="quick",
        seconds=3,
        judges=f"the cases that wait {_LONGEST_QUICK:g} s at most; the report names what that leaves out",
        longest=_LONGEST_QUICK,
    ),
    Profile(
        name="default",
        seconds=12,
        judges="all cases, with some of each kind of the vectors, of near misses of keys and of clients' handshakes",
    ),
    Profile(
        name="thorough",
        seconds=120,
        judges="all cases, with all of those, longer stalls and more scripts; nothing is left out",
        thorough=True,
    ),
)

#: The profiles by name, the shortest first.
PROFILES: Final[Mapping[str, Profile]] = {profile.name: profile for profile in _PROFILES}

#: That of a run that names none.
DEFAULT: Final = "default"


def part_of(
    cases: Collection[AnyCase],
    only: Sequence[str],
    skip: Sequence[str],
    profile: Profile,
    whole: Mapping[str, AnyCase] = CASES,
) -> Part:
    """Return which part of the suite *cases* are, and by which options they were chosen; *whole* is the suite."""
    left_out = len(whole) - len(cases)
    if not left_out:
        return WHOLE
    words = [word for each in only for word in ("--only", each)]
    words += [word for each in skip for word in ("--skip", each)]
    if profile.longest is not None:
        words += ["--profile", profile.name]
    judged = {clause for case in cases for clause in case.clauses}
    cited = {clause for case in whole.values() for clause in case.clauses}
    return Part(
        chosen_by=shlex.join(words),
        left_out=left_out,
        unjudged=tuple(clause for clause in clauses() if clause in cited - judged),
    )
