"""What a gateway may choose, by the clause that leaves it open, and four ways of choosing.

The defaults are what the specification decided.  The other groups choose otherwise wherever one gateway can.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, kw_only=True)
class Choices:
    """One way of choosing; durations in seconds, sizes in bytes."""

    # Addresses.
    empty_camera: Literal["itself", "refused", "none"] = "itself"  # PW-ADDR-8
    doubled_camera_refused: bool = False  # PW-ADDR-9
    unknown_parameter_refused: bool = False  # PW-ADDR-10, a SHOULD
    bad_source: Literal[400, 404] | None = 400  # PW-ADDR-11; None: it may wait
    unseen: Literal["waits", "not-found", "closed"] = "waits"  # PW-ADDR-12
    wrong_path_served: bool = False  # PW-ADDR-13, a SHOULD
    plus_is_space: bool = True  # PW-ADDR-15
    semicolon_separates: bool = False  # PW-ADDR-15
    bad_escape: Literal["refused", "replaced", "stands"] = "refused"  # PW-ADDR-16
    device_query_refused: bool = False  # PW-ADDR-17
    odd_timeout_refused: bool = True  # PW-TIME-5

    # Viewers.
    binary_auth: bool = False  # PW-AUTH-12
    talk: Literal["ignored", "closed", "answered"] = "ignored"  # PW-AUTH-13
    doubled_member: Literal["last", "first", "malformed"] = "last"  # PW-AUTH-14
    listed: Literal["source", "asked", "organisation"] = "source"  # PW-INIT-8
    lists_empty_source: bool = False  # PW-INIT-9
    online: Literal["seen", "announced", "fresh"] = "seen"  # PW-INIT-10
    own_members: bool = False  # PW-FRAME-12
    leaving: Literal["silent", "closed", "told"] = "silent"  # PW-FRAME-13
    timeout_from: Literal["init", "handshake"] = "init"  # PW-TIME-4
    own_end: float | None = None  # PW-TIME-6
    waiting: int = (
        1  # PW-FLOW-5, a SHOULD: frames a camera; more than one, and the newest is dropped
    )

    # Devices.
    id_of_first_organisation: bool = False  # PW-ISO-5
    second_connection: Literal["beside", "replaces", "refused"] = "beside"  # PW-DEV-10
    device_patience: float = 10.0  # PW-DEV-11
    bad_first: Literal["error", "silent", "waits"] = "error"  # PW-DEV-17
    device_silence: float | None = None  # PW-DEV-20
    refused_device: int | None = None  # PW-DEV-22; None: as viewers
    malformed: int | None = None  # PW-BIN-4, PW-TXT-2: the code of the close; None: dropped
    empty_id_dropped: bool = False  # PW-BIN-5
    cut_id: Literal["left-out", "dropped", "replaced"] = "left-out"  # PW-BIN-6
    spelled_numbers: bool = True  # PW-TXT-3
    not_json: Literal["null", "dropped", "left-out"] = "null"  # PW-THERM-2
    acks: bool = False  # PW-DEV-8, a promise that nobody has to make

    # Both.
    names_in_any_capitals: bool = False  # PW-AUTH-18
    unreadable_values_refused: bool = False  # PW-LIM-10
    pings_every: float | None = None  # PW-CONN-7
    oversize: Literal[1009, 1008] | None = 1009  # PW-LIM-4; None: passed over
    longest_camera_id: int = 255  # PW-LIM-6
    cameras_of_address: int = 64  # PW-LIM-6
    cameras_of_device: int = 64  # PW-LIM-6
    deepest: int = 64  # PW-LIM-7
    connections: int | None = None  # PW-LIM-9
    key_check: float = 0.0  # how long the check of a key takes, which section 1.2 allows for
    device_check: float = 0.0  # how long a device waits for its answer, at most 10 s by PW-DEV-2
    numbers_with_fraction: bool = False  # section 1.2: 640.0 is a whole number


GROUPS: Final = {
    "decided": Choices(),
    # Refuses and closes wherever it may.
    "picky": Choices(
        empty_camera="refused",
        doubled_camera_refused=True,
        bad_source=404,
        unseen="closed",
        bad_escape="stands",
        device_query_refused=True,
        talk="closed",
        doubled_member="malformed",
        listed="asked",
        online="fresh",
        leaving="closed",
        timeout_from="handshake",
        own_end=6.0,
        id_of_first_organisation=True,
        second_connection="refused",
        device_patience=3.0,
        bad_first="silent",
        device_silence=90.0,
        refused_device=1008,
        malformed=1008,
        empty_id_dropped=True,
        cut_id="dropped",
        spelled_numbers=False,
        not_json="dropped",
        unreadable_values_refused=True,
        oversize=1008,
        longest_camera_id=100,
        cameras_of_address=8,
        cameras_of_device=16,
        deepest=16,
    ),
    # Lets pass wherever it may, takes its time, and adds things of its own.
    "lenient": Choices(
        empty_camera="none",
        bad_source=None,
        plus_is_space=False,
        semicolon_separates=True,
        bad_escape="replaced",
        odd_timeout_refused=False,
        names_in_any_capitals=True,
        binary_auth=True,
        talk="answered",
        doubled_member="first",
        listed="organisation",
        lists_empty_source=True,
        online="announced",
        own_members=True,
        leaving="told",
        second_connection="replaces",
        device_patience=30.0,
        bad_first="waits",
        refused_device=4403,
        cut_id="replaced",
        not_json="left-out",
        acks=True,
        pings_every=0.5,
        oversize=None,
        longest_camera_id=1000,
        cameras_of_address=1000,
        cameras_of_device=1000,
        deepest=500,
        key_check=0.4,
        device_check=1.8,
        numbers_with_fraction=True,
    ),
    # As decided, but for the SHOULDs that are mere decisions: it conforms, and is advised.
    "against-advice": Choices(
        unknown_parameter_refused=True,
        unseen="not-found",
        wrong_path_served=True,
        waiting=4,
    ),
    # As decided, and with room for few.
    "crowded": Choices(connections=20),
}
