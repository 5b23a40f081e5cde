"""Cameras whose ids look alike, or collide when joined, and which are different cameras all the same."""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from attrs import frozen


@frozen(kw_only=True)
class DistinctCameras:
    """Cameras of one organisation, as pairs of source id and camera id, no two of them the same.

    A viewer of one gets the frames of that one, under both of its ids.  All source ids begin with `robot-01`, for which
    a live judge puts an id of its own.
    """

    id: str
    clause: str
    note: str = ""
    cameras: tuple[tuple[str, str], ...]


@cache
def distinct_cameras() -> Mapping[str, DistinctCameras]:
    """Return every set of distinct cameras, by id and in order."""
    text = files("plexwire_spec").joinpath("vectors", "distinct-cameras.json").read_text("utf-8")
    found: dict[str, DistinctCameras] = {}
    for members in json.loads(text)["distinct"]:
        cameras = tuple((source_id, camera_id) for source_id, camera_id in members.pop("cameras"))
        one = DistinctCameras(**members, cameras=cameras)
        if found.setdefault(one.id, one) is not one:
            raise ValueError(f"two sets are called {one.id}")
    return found
