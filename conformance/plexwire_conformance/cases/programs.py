"""The cases for viewers and for devices; importing this module registers all of them."""

from collections.abc import Mapping
from typing import Final

import plexwire_conformance.cases.device.auth
import plexwire_conformance.cases.device.keeping
import plexwire_conformance.cases.device.returning
import plexwire_conformance.cases.device.sending
import plexwire_conformance.cases.program_websockets
import plexwire_conformance.cases.viewer.auth
import plexwire_conformance.cases.viewer.keeping
import plexwire_conformance.cases.viewer.returning
from plexwire_conformance.cases import CASES
from plexwire_conformance.program.case import DEVICE_CASES as DEVICE_CASES
from plexwire_conformance.program.case import VIEWER_CASES as VIEWER_CASES
from plexwire_conformance.program.case import ProgramCase as ProgramCase
from plexwire_conformance.program.case import cases_for as cases_for
from plexwire_conformance.run.case import AnyCase

#: Every case, whoever is judged by it.
EVERY_CASE: Final[Mapping[str, AnyCase]] = {**CASES, **VIEWER_CASES, **DEVICE_CASES}
