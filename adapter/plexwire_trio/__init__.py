"""The pump between a session of the core and a WebSocket, on Trio; shared by the gateway and the clients.

It holds no rule of the protocol.  Needs an extra: `plexwire[server]` or `plexwire[client]`.
"""

from plexwire_trio._connection import Connection as Connection
from plexwire_trio._websocket import wrap_client_stream as wrap_client_stream
from plexwire_trio._websocket import wrap_server_stream as wrap_server_stream
