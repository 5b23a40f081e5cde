"""What was said and stored: told to the judge in the order of time, as if it were said now."""

from collections.abc import Callable, Iterable

from attrs import frozen

from plexwire_conformance.passive.heard import Heard
from plexwire_conformance.passive.live_judge import Ear, LiveJudge
from plexwire_conformance.recording.recorder import Entry


@frozen
class Saying:
    """Something that was said on the connection `heard`; `entries` makes entries of it, given the seconds since the beginning."""

    at: float
    heard: Heard
    entries: Callable[[float], list[Entry]]


def judge_sayings(sayings: Iterable[Saying], judge: LiveJudge) -> None:
    """Have *judge* listen to *sayings*, which are in the order of time."""
    ears: dict[Heard, Ear] = {}
    began: float | None = None
    for saying in sayings:
        began = saying.at if began is None else began
        ear = ears.get(saying.heard)
        if ear is None:
            ear = ears[saying.heard] = judge.listen(saying.heard)
        for entry in saying.entries(saying.at - began):
            ear.take(entry)
    for ear in ears.values():
        ear.end()
