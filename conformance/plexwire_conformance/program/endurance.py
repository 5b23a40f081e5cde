"""Scripts of what a program has to live with: one thing after another, until it leaves."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Generic, TypeVar

from attrs import frozen

from plexwire_conformance.program.served import SETTLES_S, Served
from plexwire_conformance.program.stage import Play, ProgramStage

S = TypeVar("S", bound=Served)

#: Seconds after the last thing in which the program may still leave for it.
_LAST_S: Final = 1.0


@frozen
class Strain(Generic[S]):
    """Something that a program has to live with: what it is, for people, and how it is done to a connection."""

    what: str
    does: Callable[[S], Awaitable[None]]


async def endure(
    stage: ProgramStage,
    check: str,
    strains: Sequence[Strain[S]],
    begin: Callable[[Play], Awaitable[S]],
    *,
    settles_s: float = SETTLES_S,
) -> None:
    """Do *strains* to the program one after another, and find *check* if it leaves after one of them.

    What is left is done on the next connection, which *begin* brings as far as it takes.
    """
    left: dict[str, Any] = {}
    words: dict[str, Any] | None = None
    todo = list(strains)
    while todo:
        async with stage.play() as play:
            served = await begin(play)
            done: Strain[S] | None = None
            has_left = False
            while todo and not has_left:
                done = todo.pop(0)
                since = stage.now()
                await done.does(served)
                has_left = await play.leaves(served, settles_s if todo else _LAST_S)
            served.check_sound()
            if has_left and done is not None:
                left[done.what] = play.outcome(served, since)
                words = words or play.started.last_words()
    if left:
        stage.find(check, {}, {"left": left, "words": words})


async def gives_up(stage: ProgramStage, check: str, within: float, *, late_s: float) -> None:
    """Answer nothing, and find *check* if the program still waits after *within* seconds, and *late_s* more."""
    async with stage.play() as play:
        served = await play.waiting()
        waited = within + late_s
        if not await play.leaves(served, waited):
            stage.find(check, {"within": within}, {"waited": waited})
