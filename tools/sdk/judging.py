"""What all trials share: two ways in which one can go, and how long it may take."""

from typing import Final

#: Who the device is.
SOURCE: Final = "robot-01"
#: Seconds for anything that ought to happen soon, on a machine that is busy.
PATIENCE_S: Final = 30.0


class Unlike(Exception):
    """What happened is not what should have."""


class Raised(Exception):
    """The SDK raised where it was called; `kind` is the name of the class."""

    def __init__(self, kind: str, said: str) -> None:
        super().__init__(f"{kind}: {said}")
        self.kind = kind


def expect(condition: object, otherwise: str) -> None:
    """Raise `Unlike`, saying *otherwise*, unless *condition* holds."""
    if not condition:
        raise Unlike(otherwise)
