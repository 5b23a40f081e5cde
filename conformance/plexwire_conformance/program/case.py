"""Cases for viewers and for devices: an id is frozen once it is published, and cites at least one clause."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias

from attrs import frozen

from plexwire_conformance.program.stage import ProgramStage
from plexwire_conformance.run.case import AnyCase, InvalidCase
from plexwire_spec import Party, clauses

ProgramCaseBody: TypeAlias = Callable[[ProgramStage], Awaitable[None]]


@frozen(kw_only=True)
class ProgramCase(AnyCase):
    """A case for programs of one `role`."""

    role: Party
    body: ProgramCaseBody


_viewer_cases: dict[str, ProgramCase] = {}
_device_cases: dict[str, ProgramCase] = {}

#: Every case for viewers and every case for devices, by id.
VIEWER_CASES: Final[Mapping[str, ProgramCase]] = _viewer_cases
DEVICE_CASES: Final[Mapping[str, ProgramCase]] = _device_cases

_REGISTERS: Final = {Party.VIEWER: _viewer_cases, Party.DEVICE: _device_cases}


def cases_for(role: Party) -> Mapping[str, ProgramCase]:
    """Return the cases for programs of *role*, by id."""
    return _REGISTERS[role]


def program_case(
    case_id: str, title: str, *cited: str, takes: float = 0.0
) -> Callable[[ProgramCaseBody], ProgramCaseBody]:
    """Register an async function as the case *case_id*, judging the clauses *cited*, all of one role.

    *title* is one sentence that says what must be true; *takes* is the seconds that it waits by design.

    Raises:
        InvalidCase: the id is taken, or the clauses do not exist or bind several roles.
    """
    if not cited or any(name not in clauses() for name in cited):
        raise InvalidCase(f"{case_id} cites {', '.join(cited) or 'nothing'}; see clauses.toml")
    roles = {clauses()[name].role for name in cited}
    if len(roles) > 1 or not roles <= {*_REGISTERS}:
        raise InvalidCase(f"{case_id} cites clauses that bind others than viewers, or devices")
    role = roles.pop()

    def register(body: ProgramCaseBody) -> ProgramCaseBody:
        if case_id in _REGISTERS[role]:
            raise InvalidCase(f"{case_id} is taken; ids are never reused, choose another")
        _REGISTERS[role][case_id] = ProgramCase(
            id=case_id, title=title, clauses=cited, takes=takes, role=role, body=body
        )
        return body

    return register
