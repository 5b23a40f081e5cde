"""How names of private modules become names of a public one."""

from collections.abc import Iterable
from types import FunctionType


def publish(module: str, things: Iterable[object]) -> None:
    """Let the classes and functions among *things* say that *module* is where they are from.

    So `help`, tracebacks, reprs and pickles name the module that users import.
    """
    for thing in things:
        if isinstance(thing, type | FunctionType):
            thing.__module__ = module
