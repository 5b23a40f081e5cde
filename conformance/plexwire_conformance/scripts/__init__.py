"""Property cases: whole scripts are drawn first, as pure data, and then played over the wire.

Importing this package needs Hypothesis.
"""

from plexwire_conformance.scripts._address import ADDRESS as ADDRESS
from plexwire_conformance.scripts._auth import AUTH as AUTH
from plexwire_conformance.scripts._explore import draw_scripts as draw_scripts
from plexwire_conformance.scripts._explore import explore as explore
from plexwire_conformance.scripts._explore import play_script as play_script
from plexwire_conformance.scripts._property import AT_ONCE as AT_ONCE
from plexwire_conformance.scripts._property import PROPERTIES as PROPERTIES
from plexwire_conformance.scripts._property import Property as Property
from plexwire_conformance.scripts._property import read_token as read_token
from plexwire_conformance.scripts._property import write_token as write_token
from plexwire_conformance.scripts._relay import RELAY as RELAY
