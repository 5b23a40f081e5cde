"""The register of faulty viewers and devices: the models with one promise broken at a time."""

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from attrs import frozen

from plexwire_conformance.faults._fault import InvalidFault
from plexwire_conformance.faults._program_models import Model, ModelProgram
from plexwire_spec import Party, clauses

M = TypeVar("M", bound=type[Model])


@frozen(kw_only=True)
class ProgramFault:
    """One fault: its frozen id, the clause that it must be found under, and what it does wrong in one sentence.

    `also` are the clauses that it truly breaks as well.
    """

    id: str
    clause: str
    also: frozenset[str]
    title: str
    model: type[Model]

    @property
    def role(self) -> Party:
        """Who is faulty."""
        return self.model.role

    @property
    def area(self) -> str:
        """The first part of the id."""
        return self.id.partition(".")[0]

    def build(self) -> ModelProgram:
        """Return a program with this fault and no other."""
        return ModelProgram(self.model)


_faults: dict[str, ProgramFault] = {}

#: Every fault of viewers and of devices, by id.
PROGRAM_FAULTS: Final[Mapping[str, ProgramFault]] = _faults


def program_fault(
    fault_id: str, title: str, clause: str, *, also: tuple[str, ...] = ()
) -> Callable[[M], M]:
    """Register a model as the fault *fault_id*, which breaks *clause*.

    Raises:
        InvalidFault: the id is taken, or a clause does not exist or binds somebody else.
    """

    def register(model: M) -> M:
        if fault_id in _faults:
            raise InvalidFault(f"{fault_id} is taken; ids are never reused, choose another")
        wrong = [
            n for n in (clause, *also) if n not in clauses() or clauses()[n].role is not model.role
        ]
        if wrong:
            raise InvalidFault(f"{fault_id} breaks {', '.join(wrong)}; see clauses.toml")
        _faults[fault_id] = ProgramFault(
            id=fault_id, clause=clause, also=frozenset(also), title=title, model=model
        )
        return model

    return register
