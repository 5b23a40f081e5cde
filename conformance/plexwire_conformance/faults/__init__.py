"""Faulty gateways: the reference gateway with one promise broken at a time, so that the judge is itself on trial.

`FAULTS[…].build()` gives one; serve it like any other gateway, and see what a test of yours makes of it.
"""

from plexwire_conformance.faults import (
    _addr,
    _auth,
    _auth_time,
    _conn,
    _delivery,
    _device,
    _devices,
    _flow,
    _frames,
    _handshakes,
    _init,
    _iso,
    _keys,
    _lifetimes,
    _media,
    _recon,
    _rob,
    _states,
    _time,
    _values,
    _viewers,
)
from plexwire_conformance.faults._fault import FAULTS as FAULTS
from plexwire_conformance.faults._fault import RETIRED as RETIRED
from plexwire_conformance.faults._fault import Fault as Fault
from plexwire_conformance.faults._fault import FaultyGateway as FaultyGateway
from plexwire_conformance.faults._fault import InvalidFault as InvalidFault
from plexwire_conformance.faults._fault import fault as fault
from plexwire_conformance.faults._program_fault import PROGRAM_FAULTS as PROGRAM_FAULTS
from plexwire_conformance.faults._program_fault import ProgramFault as ProgramFault
from plexwire_conformance.faults._program_models import ModelDevice as ModelDevice
from plexwire_conformance.faults._program_models import ModelProgram as ModelProgram
from plexwire_conformance.faults._program_models import ModelViewer as ModelViewer

#: Importing a module registers its faults.
_AREAS = (
    _addr,
    _auth,
    _auth_time,
    _conn,
    _delivery,
    _device,
    _devices,
    _flow,
    _frames,
    _handshakes,
    _init,
    _iso,
    _keys,
    _lifetimes,
    _media,
    _recon,
    _rob,
    _states,
    _time,
    _values,
    _viewers,
)
