"""The reference gateway on Trio: a live relay from devices to viewers.

`plexwire_server.extending` is for gateways that do something differently.

Needs an extra: `pip install plexwire[server]`.
"""

from plexwire_server._connection_report import ConnectionReport as ConnectionReport
from plexwire_server._gateway import Gateway as Gateway
from plexwire_server._gateway import open_gateway as open_gateway
from plexwire_server._limits import Limits as Limits
from plexwire_server._log import LogEvent as LogEvent
from plexwire_server._metrics import Metrics as Metrics
from plexwire_server._tcp import serve as serve
from plexwire_server.edge._edge_gateway import EdgeGateway as EdgeGateway
from plexwire_server.edge._edge_gateway import open_edge as open_edge
from plexwire_server.edge._upstream import Upstream as Upstream
from plexwire_server.keys._key_decision import KeyChecker as KeyChecker
from plexwire_server.keys._key_decision import KeyDecision as KeyDecision
from plexwire_server.keys._key_decision import KeyGranted as KeyGranted
from plexwire_server.keys._key_decision import KeyRefused as KeyRefused
from plexwire_server.keys._key_decision import Scope as Scope
from plexwire_server.keys._key_file import KeyFileError as KeyFileError
from plexwire_server.keys._key_store import KeyRecord as KeyRecord
from plexwire_server.keys._key_store import KeyStore as KeyStore
from plexwire_server.keys._key_store import ThrowAwayKeys as ThrowAwayKeys
