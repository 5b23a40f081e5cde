"""The cases; importing this package registers all of them."""

from plexwire_conformance.cases.gateway import (
    addresses,
    auth,
    auth_deadline,
    connections,
    devices,
    dialect,
    frame_forms,
    frames,
    handshakes,
    init,
    isolation,
    lifetimes,
    live_cameras,
    near_keys,
    robustness,
    scripts,
    slow_viewers,
    states,
    timeouts,
    vector_cameras,
    vector_frames,
    vectors,
)
from plexwire_conformance.run.case import CASES as CASES
from plexwire_conformance.run.case import Case as Case
from plexwire_conformance.run.case import Need as Need
