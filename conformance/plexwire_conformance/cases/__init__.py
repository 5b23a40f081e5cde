"""The cases, a module an area; importing this package registers all of them."""

from plexwire_conformance._case import CASES as CASES
from plexwire_conformance._case import Case as Case
from plexwire_conformance._case import Need as Need
from plexwire_conformance.cases import (
    _addr,
    _auth,
    _auth_time,
    _conn,
    _dev,
    _dialect,
    _flow,
    _frames,
    _init,
    _iso,
    _live,
    _media,
    _rob,
    _scripts,
    _time,
)
