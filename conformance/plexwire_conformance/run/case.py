"""Cases and their register: an id is frozen once it is published, and cites at least one clause."""

from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from typing import Final, TypeAlias

from attrs import frozen

from plexwire_conformance.run.checks import WRONG_CLOSE_CODE, checks
from plexwire_conformance.run.stage import Stage
from plexwire_conformance.run.trial import Trial
from plexwire_spec import clauses

CaseBody: TypeAlias = Callable[[Stage, Trial], Awaitable[None]]


class Need(Enum):
    """What a case can't do without; the value says what to provide."""

    PUBLISHER = "a key that a device may use: PLEXWIRE_DEVICE_KEY"
    FOREIGN_KEY = "a key of a second organisation: PLEXWIRE_FOREIGN_KEY"
    NO_ACCESS_KEY = "a key whose plan has no API access: PLEXWIRE_NO_ACCESS_KEY"
    REVOKED_KEY = "a revoked key: PLEXWIRE_REVOKED_KEY"
    OTHER_KEY = "a second key of the same organisation: PLEXWIRE_OTHER_KEY"
    READ_KEY = "a key whose scopes allow reading only: PLEXWIRE_READ_KEY"


@frozen(kw_only=True)
class AnyCase:
    """What every case has, whoever is judged by it: its frozen id, and the clauses that it judges.

    It answers for the clauses in `may_find` as well, but passing shows nothing about them.  `takes` is the seconds that
    it waits by design.
    """

    id: str
    title: str
    clauses: tuple[str, ...]
    may_find: tuple[str, ...] = ()
    takes: float = 0.0

    @property
    def area(self) -> str:
        """The first part of the id."""
        return self.id.partition(".")[0]


@frozen(kw_only=True)
class Case(AnyCase):
    """A case for gateways, and what it needs.

    `connections` is how many it has open at most; it can do with `least`, more slowly.  A `scripted` case thinks in a
    thread, so it can't run where time is virtual beside others.
    """

    needs: frozenset[Need]
    connections: int
    least: int
    scripted: bool
    body: CaseBody


_cases: dict[str, Case] = {}

#: Every case for gateways, by id.
CASES: Final[Mapping[str, Case]] = _cases


#: The clauses that ask for a close: a case of one of them answers for its manner as well.
CLOSING: Final = frozenset(
    check.clause for check in checks().values() if check.id.endswith(f"/{WRONG_CLOSE_CODE}")
)


class InvalidCase(Exception):
    """A case was declared wrongly; the text names it and the fix."""


def case(
    case_id: str,
    title: str,
    *cited: str,
    may_find: tuple[str, ...] = (),
    needs: tuple[Need, ...] = (),
    takes: float = 0.0,
    connections: int = 2,
    least: int | None = None,
    scripted: bool = False,
) -> Callable[[CaseBody], CaseBody]:
    """Register an async function as the case *case_id*, judging the clauses *cited*.

    It may find breaches of the clauses in *may_find* too, without judging them when it finds none.

    *title* is one sentence that says what must be true.  *takes* is the seconds that it waits by
    design, the longest cases starting first; *connections* is how many it has open at most, *least* how few will do.

    Raises:
        InvalidCase: the id is taken, no clause is cited or one does not exist, or *title* is empty.
    """
    closing = ("PW-CLOSE-1",) if set(cited) & CLOSING and "PW-CLOSE-1" not in cited else ()

    def register(body: CaseBody) -> CaseBody:
        if case_id in _cases:
            raise InvalidCase(f"{case_id} is taken; ids are never reused, choose another")
        if not cited:
            raise InvalidCase(f"{case_id} cites no clause; name the one that it judges")
        if unknown := [name for name in (*cited, *may_find) if name not in clauses()]:
            raise InvalidCase(f"{case_id} cites {', '.join(unknown)}; see clauses.toml")
        if not title:
            raise InvalidCase(f"{case_id} has no title; say in one sentence what must be true")
        _cases[case_id] = Case(
            id=case_id,
            title=title,
            clauses=cited,
            may_find=(*may_find, *closing),
            needs=frozenset(needs),
            takes=takes,
            connections=connections,
            least=connections if least is None else least,
            scripted=scripted,
            body=body,
        )
        return body

    return register
