"""The reference gateway on Trio: a live relay from devices to viewers.

Needs an extra: `pip install plexwire[server]`.
"""

from plexwire_server._conversation import Conversation as Conversation
from plexwire_server._device import DeviceConversation as DeviceConversation
from plexwire_server._edge import EdgeGateway as EdgeGateway
from plexwire_server._edge import open_edge as open_edge
from plexwire_server._gateway import Gateway as Gateway
from plexwire_server._gateway import Opening as Opening
from plexwire_server._http import Answer as Answer
from plexwire_server._http import Request as Request
from plexwire_server._http import RequestRefused as RequestRefused
from plexwire_server._keyfile import KeyFileError as KeyFileError
from plexwire_server._keys import Granted as Granted
from plexwire_server._keys import KeyChecker as KeyChecker
from plexwire_server._keys import KeyRecord as KeyRecord
from plexwire_server._keys import KeyStore as KeyStore
from plexwire_server._keys import Refused as Refused
from plexwire_server._keys import Scope as Scope
from plexwire_server._keys import ThrowAwayKeys as ThrowAwayKeys
from plexwire_server._keys import Verdict as Verdict
from plexwire_server._limits import Limits as Limits
from plexwire_server._lines import LogEvent as LogEvent
from plexwire_server._metrics import Metrics as Metrics
from plexwire_server._report import ConnectionReport as ConnectionReport
from plexwire_server._serve import serve as serve
from plexwire_server._upstream import Upstream as Upstream
from plexwire_server._viewer import ViewerConversation as ViewerConversation
