"""What a subclass of the gateway may do differently.

`HOOKS` names every method that may be overridden, by the class that has it; the edge, faulty gateways and test gateways
override these and no others.  All other methods are `final` or private: they may change at any time.

A gateway serves a connection in this order, and each step is a hook:

1. `Gateway.serve_stream` gets the byte stream; a subclass may put another stream before it.
2. `route` answers the request from `pages`, or reads the address (`read_address`) and returns an `Upgrade`.
3. `new_viewer` or `new_device` returns what serves the WebSocket: a `viewer_connection` with a `viewer_session`, or a
   `device_connection` with a `device_session`.  These two class attributes may be set, too.
4. `PeerConnection.handle` gets each event of the session; an auth goes to `answer`, which asks `check_key`.
5. `admit` accepts the peer, `stream` runs beside reading, `leave` undoes `admit`.
6. `ViewerConnection.online` and `subscribe` say what the `init` holds and which frames wait for the viewer.  `expect`
   hears of each frame and `ring`s; the writer `rest`s, takes `next_frame` and calls `send_frame`.
7. `DeviceConnection.publish` gets each frame of the device.

`condition` is what `/health` says, `collect_metrics` what `/metrics` says, and `drain` ends it all.

A connection may use its `gateway` (`relay`, `viewers`, `metrics`, `limits`, `unix_ms`), `session`, `ws`, `report` and
`granted`, and the final methods `flush`, `flush_soon`, `start_soon`, `settle`, `publish_as`.
"""

from collections.abc import Mapping
from typing import Final

from plexwire_server._device_connection import DeviceConnection as DeviceConnection
from plexwire_server._gateway import Gateway as Gateway
from plexwire_server._gateway_state import GatewayState as GatewayState
from plexwire_server._peer_connection import PeerConnection as PeerConnection
from plexwire_server._viewer_connection import ViewerConnection as ViewerConnection
from plexwire_server.http._request import Request as Request
from plexwire_server.http._request import RequestRefused as RequestRefused
from plexwire_server.http._response import Response as Response
from plexwire_server.http._websocket_handshake import Upgrade as Upgrade

_PEER_HOOKS: Final = frozenset({"handle", "answer", "stream", "admit", "leave"})

#: The methods that a subclass may override, by the class that has them.
HOOKS: Final[Mapping[type, frozenset[str]]] = {
    GatewayState: frozenset({"check_key"}),
    Gateway: frozenset(
        {
            "check_key",
            "collect_metrics",
            "condition",
            "device_session",
            "drain",
            "new_device",
            "new_viewer",
            "pages",
            "read_address",
            "route",
            "serve_stream",
            "viewer_session",
        }
    ),
    PeerConnection: _PEER_HOOKS,
    ViewerConnection: _PEER_HOOKS
    | {"expect", "next_frame", "online", "rest", "ring", "send_frame", "subscribe"},
    DeviceConnection: _PEER_HOOKS | {"publish"},
}
