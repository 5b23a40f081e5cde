"""The register of checks: what a finding can be about, by an id that never changes.

A check is one way in which one clause can be broken, or one choice that an OPEN clause leaves to the gateway.
`checks.toml` has them all with their sentences; only `report/` fills the sentences in.
"""

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

from attrs import frozen

from plexwire_spec import clauses

#: The closes that are judged apart from their code, as the names of their checks.
WRONG_CLOSE_CODE: Final = "wrong-close-code"
NOT_CLOSED: Final = "not-closed"
NO_CLOSE_FRAME: Final = "no-close-frame"


@frozen
class Check:
    """One check: its `id`, which is CLAUSE/NAME, and the templates of its two sentences (`expected` is empty for a choice)."""

    id: str
    expected: str
    observed: str

    @property
    def clause(self) -> str:
        """The clause that it is about."""
        return clause_of(self.id)


def clause_of(check_id: str) -> str:
    """Return the clause that the check *check_id* is about."""
    return check_id.partition("/")[0]


@cache
def checks() -> Mapping[str, Check]:
    """Return every check by id, in the order of the clauses.

    Raises:
        ValueError: an id is taken twice, or names no clause.
    """
    text = files("plexwire_conformance.run").joinpath("checks.toml").read_text("utf-8")
    found: dict[str, Check] = {}
    for check in _read(tomllib.loads(text)):
        if check.clause not in clauses():
            raise ValueError(f"{check.id}: there is no clause {check.clause}")
        if found.setdefault(check.id, check) is not check:
            raise ValueError(f"{check.id} is there twice")
    places = {clause: place for place, clause in enumerate(clauses())}
    return {check.id: check for check in sorted(found.values(), key=lambda c: places[c.clause])}


def _read(members: Mapping[str, Any]) -> Iterator[Check]:
    for name, table in members.items():
        if name != "family":
            yield Check(name, table.get("expected", ""), table["observed"])
    for family in members["family"]:
        for clause in family["clauses"]:
            for name in family["names"]:
                yield Check(f"{clause}/{name}", family.get("expected", ""), family["observed"])
