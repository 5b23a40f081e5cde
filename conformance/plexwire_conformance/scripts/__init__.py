"""Property cases: whole scripts are drawn first, as pure data, and then played over the wire.

Importing this package needs Hypothesis.
"""

from plexwire_conformance.scripts.addresses import ADDRESS as ADDRESS
from plexwire_conformance.scripts.exploring import draw_scripts as draw_scripts
from plexwire_conformance.scripts.exploring import explore as explore
from plexwire_conformance.scripts.exploring import play_script as play_script
from plexwire_conformance.scripts.first_messages import AUTH as AUTH
from plexwire_conformance.scripts.properties import MOST_CONCURRENT as MOST_CONCURRENT
from plexwire_conformance.scripts.properties import PROPERTIES as PROPERTIES
from plexwire_conformance.scripts.properties import Property as Property
from plexwire_conformance.scripts.properties import read_token as read_token
from plexwire_conformance.scripts.properties import write_token as write_token
from plexwire_conformance.scripts.relay_scenes import RELAY as RELAY
