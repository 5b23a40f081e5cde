"""What a subclass of the gateway may do differently.

`HOOKS` names every method that may be overridden, by the class that has it; the edge, faulty gateways and test gateways
override these and no others.  All other methods are `final` or private: they may change at any time.

A gateway serves a connection in this order, and each step is a hook:

1. `Gateway.serve_stream` gets the byte stream; a subclass may put another stream before it.
2. `route` answers the request from `pages`, or reads the address (`read_address`) and returns an `Upgrade`.
3. `new_viewer` or `new_device` returns what serves the WebSocket: a `viewer_connection` or a `device_connection`.
4. The connection has a peer of the gateway's `hub`: a `viewer_peer` with a `viewer_session`, or a `device_peer` with a
   `device_session`.  What a peer does differently it does without I/O, and at the moment at which it is asked: the
   hub's lock is held.  These four class attributes may be set, too.
5. `PeerConnection.handle` gets each event of the session; an auth goes to `answer`, which asks `check_key`.
6. `admit` accepts the peer, and `leave` is called at the end.

`condition` is what `/health` says, `collect_metrics` what `/metrics` says, and `drain` ends it all.

A connection may use its `gateway` (`hub`, `metrics`, `limits`, `unix_ms`), `peer`, `stream` and `report`, and the final
methods `start_soon` and `settle`.
"""

from collections.abc import Mapping
from typing import Final

from plexwire_protocol import DevicePeer as DevicePeer
from plexwire_protocol import Peer as Peer
from plexwire_protocol import ViewerPeer as ViewerPeer
from plexwire_server._gateway import Gateway as Gateway
from plexwire_server._gateway_state import GatewayHub as GatewayHub
from plexwire_server._gateway_state import GatewayState as GatewayState
from plexwire_server._peer_connection import DeviceConnection as DeviceConnection
from plexwire_server._peer_connection import PeerConnection as PeerConnection
from plexwire_server._peer_connection import Transport as Transport
from plexwire_server._peer_connection import ViewerConnection as ViewerConnection
from plexwire_server.http._request import Request as Request
from plexwire_server.http._request import RequestRefused as RequestRefused
from plexwire_server.http._response import Response as Response
from plexwire_server.http._websocket_handshake import Upgrade as Upgrade

_PEER_HOOKS: Final = frozenset({"handle", "answer", "admit", "leave"})
_HUB_HOOKS: Final = frozenset(
    {"_admit", "_handle", "_leave", "_next_frame", "_note_written", "_receive"}
)
_STATE_HOOKS: Final = frozenset({"check_key", "device_session", "viewer_session"})

#: The methods that a subclass may override, by the class that has them.
HOOKS: Final[Mapping[type, frozenset[str]]] = {
    GatewayState: _STATE_HOOKS,
    Gateway: _STATE_HOOKS
    | {
        "collect_metrics",
        "condition",
        "drain",
        "new_device",
        "new_viewer",
        "pages",
        "read_address",
        "route",
        "serve_stream",
    },
    PeerConnection: _PEER_HOOKS,
    ViewerConnection: _PEER_HOOKS,
    DeviceConnection: _PEER_HOOKS,
    Peer: _HUB_HOOKS,
    ViewerPeer: _HUB_HOOKS | {"_note_frame", "_online", "_subscribe", "_take_frame"},
    DevicePeer: _HUB_HOOKS | {"_publish"},
}
