"""The protocol's rules without sockets, clocks or threads: the sans-IO core of plexwire.

It needs attrs and nothing else.  Begin with the end that you build: `ViewerSession`, `DeviceSession`, or a whole gateway, `Hub`,
which joins `GatewayViewerSession` and `GatewayDeviceSession` by a `Relay`.

`plexwire_protocol.limits` has every number of the protocol, `plexwire_protocol.tables` the state machines as data, and
`plexwire_protocol.strategies` Hypothesis strategies for tests (needs Hypothesis).
"""

from plexwire_protocol._addresses import DEVICE_PATH, StreamAddress
from plexwire_protocol._binary import decode_device_frame, encode_device_frame
from plexwire_protocol._closing import Abort, Close, CloseCode, describe_close
from plexwire_protocol._codec import EncodedFrame, decode, encode
from plexwire_protocol._device import DeviceSession
from plexwire_protocol._device_peer import DevicePeer
from plexwire_protocol._errors import (
    AddressRefused,
    AnswerMissing,
    AuthViolation,
    LocalProtocolError,
    MalformedMessage,
    PlexwireError,
    Refusal,
    RemoteProtocolError,
    UnexpectedMessage,
)
from plexwire_protocol._events import (
    AuthReceived,
    ConversationClosed,
    Event,
    GatewayDeviated,
    MessageIgnored,
    MessageReceived,
    MessageRefused,
    PeerViolated,
)
from plexwire_protocol._gateway import GatewayDeviceSession, GatewayViewerSession
from plexwire_protocol._hub import AnyPeer, Hub, HubLimits, Traffic
from plexwire_protocol._messages import (
    JPEG_START,
    AnyMessage,
    Auth,
    Authenticated,
    DeviceAuth,
    ErrorReport,
    GatewayReconnecting,
    Heartbeat,
    Init,
    JsonValue,
    Message,
    OnlineSource,
    Role,
    Unknown,
    VideoFrame,
)
from plexwire_protocol._peer import Peer
from plexwire_protocol._public import publish
from plexwire_protocol._relay import Publisher, Relay, Subscriber
from plexwire_protocol._session import Outgoing, Session
from plexwire_protocol._states import State
from plexwire_protocol._viewer import ViewerSession
from plexwire_protocol._viewer_peer import ViewerPeer

__all__ = [
    "DEVICE_PATH",
    "JPEG_START",
    "Abort",
    "AddressRefused",
    "AnswerMissing",
    "AnyMessage",
    "AnyPeer",
    "Auth",
    "AuthReceived",
    "AuthViolation",
    "Authenticated",
    "Close",
    "CloseCode",
    "ConversationClosed",
    "DeviceAuth",
    "DevicePeer",
    "DeviceSession",
    "EncodedFrame",
    "ErrorReport",
    "Event",
    "GatewayDeviated",
    "GatewayDeviceSession",
    "GatewayReconnecting",
    "GatewayViewerSession",
    "Heartbeat",
    "Hub",
    "HubLimits",
    "Init",
    "JsonValue",
    "LocalProtocolError",
    "MalformedMessage",
    "Message",
    "MessageIgnored",
    "MessageReceived",
    "MessageRefused",
    "OnlineSource",
    "Outgoing",
    "Peer",
    "PeerViolated",
    "PlexwireError",
    "Publisher",
    "Refusal",
    "Relay",
    "RemoteProtocolError",
    "Role",
    "Session",
    "State",
    "StreamAddress",
    "Subscriber",
    "Traffic",
    "UnexpectedMessage",
    "Unknown",
    "VideoFrame",
    "ViewerPeer",
    "ViewerSession",
    "decode",
    "decode_device_frame",
    "describe_close",
    "encode",
    "encode_device_frame",
]

__version__ = "0.1.0"

publish(__name__, (globals()[name] for name in __all__))
