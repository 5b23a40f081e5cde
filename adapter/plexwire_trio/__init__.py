"""Dialling a gateway, and the pump between a session of the core and a WebSocket, on Trio; shared by gateway and clients.

It holds no rule of the protocol.  Needs an extra: `plexwire[server]` or `plexwire[client]`.
"""

from plexwire_trio._connection import Connection as Connection
from plexwire_trio._errors import BadProxy as BadProxy
from plexwire_trio._errors import BadUrl as BadUrl
from plexwire_trio._errors import ConnectError as ConnectError
from plexwire_trio._errors import ConnectionLost as ConnectionLost
from plexwire_trio._errors import HandshakeRefused as HandshakeRefused
from plexwire_trio._errors import HandshakeTimedOut as HandshakeTimedOut
from plexwire_trio._errors import HostNotFound as HostNotFound
from plexwire_trio._errors import HostUnreachable as HostUnreachable
from plexwire_trio._errors import NotAGateway as NotAGateway
from plexwire_trio._errors import NothingListens as NothingListens
from plexwire_trio._errors import ProxyFailed as ProxyFailed
from plexwire_trio._errors import Refused as Refused
from plexwire_trio._errors import StreamEnded as StreamEnded
from plexwire_trio._errors import TlsFailed as TlsFailed
from plexwire_trio._helpers import helper_tasks as helper_tasks
from plexwire_trio._keys import API_KEY as API_KEY
from plexwire_trio._keys import DEVICE_KEY as DEVICE_KEY
from plexwire_trio._keys import BadKeys as BadKeys
from plexwire_trio._keys import clean_key as clean_key
from plexwire_trio._keys import find_key as find_key
from plexwire_trio._keys import read_keys as read_keys
from plexwire_trio._keys import read_keys_file as read_keys_file
from plexwire_trio._linger import linger as linger
from plexwire_trio._linger import reset_on_close as reset_on_close
from plexwire_trio._proxy import Proxy as Proxy
from plexwire_trio._proxy import choose_proxy as choose_proxy
from plexwire_trio._proxy import open_tunnel as open_tunnel
from plexwire_trio._proxy import opener_through as opener_through
from plexwire_trio._proxy import read_proxy as read_proxy
from plexwire_trio._proxy import refused_tls_of_proxy as refused_tls_of_proxy
from plexwire_trio._proxy import unreachable_proxy as unreachable_proxy
from plexwire_trio._transport import HANDSHAKE_TIMEOUT_S as HANDSHAKE_TIMEOUT_S
from plexwire_trio._transport import StreamOpener as StreamOpener
from plexwire_trio._transport import open_stream as open_stream
from plexwire_trio._transport import open_websocket as open_websocket
from plexwire_trio._urls import GatewayUrl as GatewayUrl
from plexwire_trio._websocket import accept_upgrade as accept_upgrade
from plexwire_trio._websocket import wrap_client_stream as wrap_client_stream
from plexwire_trio._websocket import wrap_server_stream as wrap_server_stream
