"""What is tried with every release: a row of the table each.

A trial returns what its cell says, `yes` where there is nothing to add, and raises `Unlike` where something ought to have
been otherwise.  Where the SDK may raise for want of something, `raises` says by which class, and what the cell says then.
"""

from collections.abc import Awaitable, Callable, Mapping
from importlib import import_module
from typing import Final, TypeAlias

from attrs import field, frozen

from pictures import Pictures
from stage import Stage

Play: TypeAlias = Callable[[Stage, Pictures], Awaitable[str]]

YES: Final = "yes"
NONE: Final = "has none"


@frozen
class Trial:
    """One row.

    `slow` is what no test waits for; what is `apart` has a device of its own, and runs beside the others.
    """

    name: str
    row: str
    play: Play
    raises: Mapping[str, str] = field(factory=dict)
    slow: bool = False
    apart: bool = False


_TRIALS: Final[dict[str, Trial]] = {}

#: Where the trials are, in the order of the table.
_MODULES: Final = ("trials_pictures", "trials_cameras", "trials_conduct")


def all_trials() -> dict[str, Trial]:
    """Return the trials by name, in the order in which they are played and shown."""
    for module in _MODULES:
        import_module(module)  # which registers
    return dict(_TRIALS)


def trial(
    name: str,
    *,
    raises: Mapping[str, str] | None = None,
    slow: bool = False,
    apart: bool = False,
) -> Callable[[Play], Play]:
    """Register a trial, whose docstring is its row."""

    def register(play: Play) -> Play:
        if name in _TRIALS:
            raise ValueError(f"there are two trials {name}")
        _TRIALS[name] = Trial(name, play.__doc__ or name, play, raises or {}, slow, apart)
        return play

    return register
