"""What two viewers of one camera tell about a gateway, where nobody knows what the device sent.

Where both are shown differing things, one of them is shown something else than was sent.  But a camera may repeat its
pictures, its time stamps or whole frames, and single frames may be dropped: so frames are known by what neither view
repeats, and fewer than `TELLING` of them tell nothing.
"""

from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import frozen

from plexwire_conformance.recording.recorder import Entry
from plexwire_conformance.run.monitor import is_whole

#: Frames that have to say the same before it counts.
TELLING: Final = 3
#: Frames that each of two viewers got, from which on it is no chance if they have none in common.
_APART: Final = 6


@frozen(kw_only=True)
class Shown:
    """A well-formed frame as a viewer was shown it, `at` so many seconds; `picture` is its digest."""

    stamp: int
    picture: str
    width: int
    height: int
    at: float

    @property
    def key(self) -> tuple[int, str]:
        """What tells it from other frames, as far as anything does."""
        return self.stamp, self.picture


def shown(frames: Iterable[Entry]) -> list[Shown]:
    """Return those of *frames* that are well-formed; the others are the monitor's business."""
    return [
        Shown(
            stamp=int(body["timestamp"]),
            picture=body["frame"]["sha256"],
            width=int(body["width"]),
            height=int(body["height"]),
            at=frame.at,
        )
        for frame in frames
        if (body := frame.body) is not None and _is_well_formed(body)
    ]


def _is_well_formed(body: Mapping[str, object]) -> bool:
    numbers = all(is_whole(body.get(name)) for name in ("timestamp", "width", "height"))
    picture = body.get("frame")
    return numbers and isinstance(picture, dict) and picture["problem"] is None


def repeated(view: Sequence[Shown]) -> int:
    """Return how many frames of *view* came in it before."""
    return len(view) - len({frame.key for frame in view})


@frozen
class Disagreement:
    """What two viewers of one camera can't both have been shown by a gateway that passes `check`."""

    check: str
    expected: Mapping[str, Any]
    observed: Mapping[str, Any]


def disagreements(one: Sequence[Shown], other: Sequence[Shown]) -> Iterator[Disagreement]:
    """Yield what the views *one* and *other*, of one camera at one time, can't both be right in."""
    pictures = _in_both(one, other, lambda frame: frame.picture)
    for name, check in (
        ("stamp", "PW-FRAME-4/viewers-disagree"),
        ("width", "PW-FRAME-3/viewers-disagree"),
        ("height", "PW-FRAME-3/viewers-disagree"),
    ):
        differ = sum(getattr(here, name) != getattr(there, name) for here, there in pictures)
        if differ >= TELLING:
            observed = {"count": differ, "of": len(pictures), "member": name}
            yield Disagreement(check, {"member": name}, observed)

    moments = _in_both(one, other, lambda frame: frame.stamp)
    differ = sum(here.picture != there.picture for here, there in moments)
    if differ >= TELLING:
        observed = {"count": differ, "of": len(moments)}
        yield Disagreement("PW-FRAME-2/viewers-disagree", {}, observed)

    frames = _in_both(one, other, lambda frame: frame.key)
    order = {frame.key: place for place, frame in enumerate(other)}
    if (astray := _astray([order[here.key] for here, _ in frames])) >= TELLING:
        observed = {"count": astray, "of": len(frames)}
        yield Disagreement("PW-FRAME-5/viewers-disagree", {}, observed)

    if not pictures and not moments and min(_telling(one), _telling(other)) >= _APART:
        observed = {"count": len(one), "other_count": len(other)}
        yield Disagreement("PW-FRAME-10/live-nothing-in-common", {}, observed)


def _in_both(
    one: Sequence[Shown], other: Sequence[Shown], name: Callable[[Shown], Hashable]
) -> list[tuple[Shown, Shown]]:
    """Return what both views have by its *name*, in the order of the first; nothing where a view repeats a name."""
    here = {name(frame): frame for frame in one}
    there = {name(frame): frame for frame in other}
    if len(here) < len(one) or len(there) < len(other):
        return []
    return [(frame, there[called]) for called, frame in here.items() if called in there]


def _telling(view: Sequence[Shown]) -> int:
    """Return how many frames of *view* can be told apart by their pictures and by their stamps; none if not all can."""
    distinct = min(len({frame.picture for frame in view}), len({frame.stamp for frame in view}))
    return distinct if distinct == len(view) else 0


def _astray(places: Sequence[int]) -> int:
    """Return how many of *places* have to go for the others to ascend."""
    tails: list[int] = []
    for place in places:
        at = bisect_left(tails, place)
        tails[at : at + 1] = [place]
    return len(places) - len(tails)
